"""Freeze the worker at every call; let others do its work; then let it wake up and go on."""

import tempfile
from pathlib import Path

import pytest

from clearlift_engine.events import Level
from clearlift_engine.refresh import LEASE_MS
from tests.crash.fuse import SIDES, Fuse, at_every_call, until_blown
from tests.crash.scene import (
    EVERYBODY,
    LEVELS,
    assert_whole,
    recover,
    set_scene,
    tick_and_relay,
)
from tests.watched import Side, nobody
from tests.worker import Worker
from tests.world import World, memory_world, sqlite_world


async def frozen(world: World, level: Level, fuse: Fuse) -> None:
    """Freeze one `tick --relay` past its leases while others work, and assert that all is well."""
    worker = Worker(world)
    set_scene(worker, level)
    worker.watch = fuse.watch
    zombie = await until_blown(tick_and_relay(worker), fuse)

    worker.watch = nobody
    worker.clock.now_ms += LEASE_MS + 1
    await tick_and_relay(worker)
    fuse.thawed.set()
    await zombie

    await recover(worker)
    repeats_max = len(EVERYBODY) if level == "at_least_once" else 0
    await assert_whole(worker, repeats_max=repeats_max)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("side", SIDES)
async def test_worker_that_wakes_up_after_others_did_its_work_does_no_harm(
    level: Level, side: Side
) -> None:
    async def run(fuse: Fuse) -> None:
        async with memory_world(Path(), Path()) as world:
            await frozen(world, level, fuse)

    assert await at_every_call(side, run) > len(EVERYBODY)


@pytest.mark.parametrize("side", SIDES)
async def test_worker_on_sqlite_that_wakes_up_does_no_harm(
    side: Side, tmp_path: Path, empty_database: Path
) -> None:
    async def run(fuse: Fuse) -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        async with sqlite_world(empty_database, folder) as world:
            await frozen(world, "same_transaction", fuse)

    assert await at_every_call(side, run) > len(EVERYBODY)
