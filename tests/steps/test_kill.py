"""Kill real processes before, amid and after what they do to the world; then look at it all.

Here a slice of the points; `python -m tests.steps kill` takes every one.
"""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final

import pytest

from tests.steps.points import KILLS
from tests.steps.processes import Warm
from tests.steps.scenes import SCENES
from tests.steps.stage import Stage, stage
from tests.steps.sweep import JOURNALS, Journal, Sweep, broken

# Which step is taken: more points would take more time than a run of all tests has.
EVERY: Final = {"migrate": 199, "migrate, beside others": 199, "tick, refreshing": 97}
FEW: Final = 37
TRACED: Final = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat,sendto,sendmsg"
)


@pytest.mark.parametrize("journal", JOURNALS)
@pytest.mark.parametrize("name", SCENES)
async def test_worker_may_be_killed_at_any_step(
    name: str, journal: Journal, forge: Warm, quick_path: Path
) -> None:
    sweep = Sweep(forge, quick_path, name, SCENES[name], journal)
    await sweep.prepare()

    outcomes = [await sweep.run(mode, every=EVERY.get(name, FEW)) for mode in KILLS]

    assert not broken(outcomes)
    assert all(outcome.points for outcome in outcomes)


async def test_no_step_escapes_the_count(forge: Warm, quick_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: nobody else counts the steps")
    async with stage(forge, quick_path, {}) as place:
        counted = await place.steps("migrate")
        place.program.file.unlink()

        seen = await traced(place, "migrate")

    assert len(seen) == len([step for step in counted if "clearlift.db" in step.path])


async def traced(place: Stage, command: str) -> list[str]:
    """Return what strace sees of a program that was started as anybody starts it."""
    trace = place.folder / "trace"
    process = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-y", "-e", f"trace={TRACED}", "-o", trace),
        *(sys.executable, "-m", "clearlift_adapters.cli", command),
        cwd=place.folder,
        env=place.program.environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said
    return [line for line in trace.read_text().splitlines() if "clearlift.db" in line]
