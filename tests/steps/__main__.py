"""`python -m tests.steps`: stop real processes at every step, as many points as there are.

python -m tests.steps kill                          every step of every command
python -m tests.steps kill --scene relay --every 5  each fifth step of one
python -m tests.steps fail                          calls that fail: a broken disk, a full one
python -m tests.steps freeze                        frozen past every lease, while rivals work
python -m tests.steps cut --images 250              power cuts: so many images of each history
python -m tests.steps storm --minutes 10            six at a time, killed and frozen at random
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.steps.points import ERRORS, KILLS, STOPS, Mode
from tests.steps.power import HISTORIES, PowerCuts
from tests.steps.preload import built, room
from tests.steps.processes import Warm, warm
from tests.steps.scenes import SCENES
from tests.steps.storm import storm
from tests.steps.sweep import JOURNALS, Outcome, Sweep

WHAT: Final[Mapping[str, Sequence[Mode]]] = {"kill": KILLS, "fail": ERRORS, "freeze": STOPS}


def main(arguments: Sequence[str]) -> int:
    """Return 1 if anything was broken."""
    options = parsed(arguments)
    with tempfile.TemporaryDirectory() as folder, warm(built(Path(folder))) as forge:
        shows = raged if options.what == "storm" else shown
        return asyncio.run(shows(forge, options))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m tests.steps", description="Stop at each step.")
    parser.add_argument("what", choices=[*WHAT, "cut", "storm"])
    parser.add_argument("--scene", action="append", choices=SCENES, metavar="NAME")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th step")
    parser.add_argument("--images", type=int, default=250, metavar="N", help="of each history")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of cuts and storm")
    parser.add_argument("--minutes", type=float, default=10, metavar="M", help="of the storm")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="points at once")
    return parser.parse_args(arguments)


async def shown(forge: Warm, options: argparse.Namespace) -> int:
    """Print what comes of each command and mode, and the sum; return 1 if anything was broken."""
    began, points, broken = time.monotonic(), 0, 0
    outcomes = cut(forge, options) if options.what == "cut" else swept(forge, options)
    async for outcome in outcomes:
        say(str(outcome))
        for each in outcome.broken:
            say(f"    {each}")
        points += outcome.points
        broken += len(outcome.broken)
    say(f"{points:,} points in {time.monotonic() - began:.0f} s; {broken} broken")
    return int(broken > 0)


async def swept(forge: Warm, options: argparse.Namespace) -> AsyncIterator[Outcome]:
    """Yield what comes of each way to do it to each command."""
    for name in options.scene or SCENES:
        for journal in JOURNALS:
            with room() as folder:
                sweep = Sweep(forge, folder, name, SCENES[name], journal)
                await sweep.prepare()
                for mode in WHAT[options.what]:
                    yield await sweep.run(mode, every=options.every, jobs=options.jobs)


async def cut(forge: Warm, options: argparse.Namespace) -> AsyncIterator[Outcome]:
    """Yield what comes of the power cuts in each history."""
    for name in HISTORIES:
        for journal in JOURNALS:
            with room() as folder:
                cuts = PowerCuts(forge, folder, name, journal)
                await cuts.record()
                yield await cuts.run(options.images, seed=options.seed, jobs=options.jobs)


async def raged(forge: Warm, options: argparse.Namespace) -> int:
    """Print what comes of a storm; return 1 if anything was broken."""
    with room() as folder:
        weather = await storm(forge, folder, options.minutes * 60, options.seed)
    for each in weather.broken:
        say(f"    {each}")
    say(f"{weather}, in {options.minutes:g} minutes from seed {options.seed}")
    return int(bool(weather.broken))


def say(line: str) -> None:
    """Print a line at once: the next one may take a while."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
