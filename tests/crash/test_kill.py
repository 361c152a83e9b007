"""Kill the worker before and after every call it makes to a port; run it again; look at it all."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import Level
from tests.crash.fuse import SIDES, Fuse, at_every_call, until_killed
from tests.crash.scene import (
    LEVELS,
    assert_whole,
    lost,
    recover,
    set_scene,
    tick_and_relay,
    unrecorded,
)
from tests.watched import Side, nobody
from tests.worker import Worker
from tests.world import memory_world, sqlite_world

CALLS_MIN = 20  # Far fewer, and the fuse does not see what it should.


async def killed(worker: Worker, fuse: Fuse) -> None:
    """Kill one `tick --relay`."""
    worker.watch = fuse.watch
    await until_killed(tick_and_relay(worker), fuse)
    worker.watch = nobody


async def killed_in_an_outage(worker: Worker, fuse: Fuse) -> None:
    """Kill a tick whose answers the database does not take."""

    async def watch(name: str, side: Side) -> None:
        await fuse.watch(name, side)
        if (name, side) == ("store.append", "before") and worker.refresher.calls:
            raise UnavailableError("the database is away")

    worker.watch = watch
    try:
        await until_killed(worker.tick(), fuse)
    except UnavailableError:
        assert not fuse.blown.is_set()
    worker.watch = nobody


async def follow(worker: Worker) -> int:
    """Let healthy ones follow, and assert that all is well; return how many grants were lost."""
    repeats_max = unrecorded(worker)
    await recover(worker)
    await assert_whole(worker, repeats_max=repeats_max)
    return len(lost(worker))


@pytest.mark.parametrize("life", [killed, killed_in_an_outage])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("side", SIDES)
async def test_worker_may_die_at_any_call(
    life: Callable[[Worker, Fuse], Awaitable[None]], level: Level, side: Side
) -> None:
    losses: list[int] = []

    async def run(fuse: Fuse) -> None:
        async with memory_world(Path(), Path()) as world:
            worker = Worker(world)
            set_scene(worker, level)
            await life(worker, fuse)
            losses.append(await follow(worker))

    calls = await at_every_call(side, run)

    assert calls >= CALLS_MIN
    assert losses.count(0) > losses.count(1) > 0  # Only with an answer in hand can one be lost.


@pytest.mark.parametrize("side", SIDES)
async def test_worker_on_sqlite_may_die_at_any_call(
    side: Side, tmp_path: Path, empty_database: Path
) -> None:
    async def run(fuse: Fuse) -> None:
        first, second = (Path(tempfile.mkdtemp(dir=tmp_path)) for _ in range(2))
        async with sqlite_world(empty_database, first) as world:
            worker = Worker(world)
            set_scene(worker, "same_transaction")
            await killed(worker, fuse)
        async with sqlite_world(first / "clearlift.db", second) as world:
            worker.reopen(world)
            await follow(worker)

    calls = await at_every_call(side, run)

    assert calls >= CALLS_MIN
