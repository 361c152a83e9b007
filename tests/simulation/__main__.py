"""`just simulate`: play histories, as many as wanted, and print which seeds break a promise.

just simulate --seeds 1..1000 --jobs 2      these seeds, on two cores
just simulate --minutes 10 --jobs 2         from 1 on, for so long
just simulate --seed 42 --trace             one of them, call by call
just simulate --bug "lease ignored"         with a planted bug: it has to be found
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from itertools import count, islice
from multiprocessing import Pool
from typing import Final

from tests.simulation.history import Result, play
from tests.simulation.sabotage import BUGS, planted

CHUNK: Final = 25  # Seeds handed to a process at a time.
CHUNKS: Final = 20  # And how many times: 90 KiB are left of each history.
DEFAULT: Final = "1..1000"


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a promise was broken."""
    options = parsed(arguments)
    if options.seed is not None:
        return show(attempt(options.seed, options.bug), trace=options.trace)
    seeds = count(1) if options.minutes and options.seeds is None else span(options.seeds)
    began, digest = time.monotonic(), sha256()
    histories = events = broken = 0
    for result in results(seeds, options.jobs, options.bug):
        histories += 1
        events += result.events
        digest.update(result.trace_hash.encode())
        broken += show_broken(result, options.bug)
        if options.minutes and time.monotonic() - began > options.minutes * 60:
            break
    took_s = time.monotonic() - began
    say(f"{histories:,} histories with {events:,} events in {took_s:.1f} s:", "")
    say(f" {histories / took_s:.0f} a second; {broken:,} broke a promise")
    say(f"digest {digest.hexdigest()}")
    return int(broken > 0)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="just simulate", description="Play simulated histories.")
    parser.add_argument("--seeds", metavar="A..B", help=f"which ones (default {DEFAULT})")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at once")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after so long")
    parser.add_argument("--seed", type=int, metavar="N", help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every call")
    parser.add_argument("--bug", choices=sorted(BUGS), metavar="NAME", help="plant this bug first")
    return parser.parse_args(arguments)


def span(text: str | None) -> range:
    """Return the seeds from A to B, both of them included."""
    first, _, last = (text or DEFAULT).partition("..")
    return range(int(first), int(last or first) + 1)


def results(seeds: Iterable[int], jobs: int, bug: str | None) -> Iterator[Result]:
    """Yield what comes of each seed, in their order."""
    one, line = partial(attempt, bug=bug), iter(seeds)
    with Pool(jobs, initializer=leave_garbage, maxtasksperchild=CHUNKS) as pool:
        while some := list(islice(line, 4 * CHUNK * CHUNKS * jobs)):
            yield from pool.imap(one, some, chunksize=CHUNK)


def leave_garbage() -> None:
    """Collect nothing: what a process leaves goes when it ends, after some hundred histories."""
    gc.freeze()
    gc.disable()


def attempt(seed: int, bug: str | None = None) -> Result:
    """Return what comes of one seed."""
    with nullcontext() if bug is None else planted(bug):
        return play(seed)


def show(result: Result, *, trace: bool) -> int:
    """Print one history; return 1 if it broke a promise."""
    for line in result.trace if trace else ():
        say(line)
    for violation in result.violations:
        say(f"broken: {violation}")
    say(f"seed {result.seed}, {result.events} events, trace {result.trace_hash}")
    return int(bool(result.violations))


def show_broken(result: Result, bug: str | None) -> int:
    """Print what is wrong with a history, if anything is; return 1 then."""
    for violation in result.violations:
        say(f"seed {result.seed}: {violation}")
    if result.violations:
        planting = "" if bug is None else f' --bug "{bug}"'
        say(f"    just simulate --seed {result.seed} --trace{planting}")
    return int(bool(result.violations))


def say(line: str, end: str = "\n") -> None:
    """Print a line at once: the next one may take a while."""
    sys.stdout.write(f"{line}{end}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
