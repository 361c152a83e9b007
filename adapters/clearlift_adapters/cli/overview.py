"""Looks at everything once, for all commands that show or judge the worker's state."""

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from clearlift_adapters.backend import Backend, NoQueue
from clearlift_adapters.cli.schedule import expected, next_after
from clearlift_adapters.logs import Log, Severity
from clearlift_adapters.settings import Settings
from clearlift_engine.alerts import LATE_MS
from clearlift_engine.errors import ConfigurationError, UnavailableError
from clearlift_engine.overview import RUNS_MAX, WORST_MAX, Backlog, Overview, RunFact
from clearlift_engine.policy import DAY_MS
from clearlift_engine.ports import Clock, Depth


class Viewpoint(Protocol):
    """What it takes to look; a World is one."""

    @property
    def settings(self) -> Settings: ...

    @property
    def log(self) -> Log: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def clock(self) -> Clock: ...


async def look(world: Viewpoint) -> Overview:
    """Return the facts of this moment; a queue that does not answer is left out.

    Ticks are expected from the first one on: before that nobody had a schedule.

    Raises:
        ConfigurationError: CLEARLIFT_CRON is no schedule.
        UnavailableError: the database does not answer.
    """
    monitor, seen = world.backend.monitor, await pulse(world)
    limit_ms = world.settings.schedule.job_limit_ms
    return replace(
        seen,
        crowds=await monitor.crowds(now_ms=seen.at, job_limit_ms=limit_ms),
        worst=await monitor.worst(limit=WORST_MAX),
    )


async def pulse(world: Viewpoint) -> Overview:
    """Return the facts that alerts depend on, without connections: it is cheap, however many.

    Raises:
        ConfigurationError: CLEARLIFT_CRON is no schedule.
        UnavailableError: the database does not answer.
    """
    monitor, now_ms = world.backend.monitor, world.clock.now()
    # One after another: each is a question to one database.
    runs = await monitor.runs(since_ms=now_ms - DAY_MS, limit=RUNS_MAX)
    return Overview(
        at=now_ms,
        crowds=(),
        backlog=await monitor.backlog(),
        queue=await depth_of(world),
        gates=await monitor.gates(),
        runs=runs,
        worst=(),
        expected_ticks=await _expected(world, runs, now_ms),
        next_tick_at=next_after(world.settings.cron, now_ms),
    )


async def look_back(world: Viewpoint, at_ms: int) -> Overview:
    """Return what the log and the runs know of a moment in the past, by today's schedule.

    Of tokens, the queue, the providers and who failed most often they keep no history: those are
    absent here, which is not to be read as none.

    Raises:
        ConfigurationError: CLEARLIFT_CRON is no schedule.
        UnavailableError: the database does not answer.
    """
    monitor = world.backend.monitor
    crowds = await monitor.crowds_at(at_ms)
    began = await monitor.runs(since_ms=at_ms - DAY_MS, until_ms=at_ms, limit=RUNS_MAX)
    runs = [_as_of(run, at_ms) for run in began]
    return Overview(
        at=at_ms,
        crowds=crowds,
        backlog=Backlog(sum(each.connections for each in crowds if each.state == "job_created")),
        queue=None,
        gates=(),
        runs=runs,
        worst=(),
        expected_ticks=await _expected(world, runs, at_ms),
        next_tick_at=next_after(world.settings.cron, at_ms),
    )


async def _expected(world: Viewpoint, runs: Sequence[RunFact], at_ms: int) -> Sequence[int]:
    """Return when ticks were expected in the day before: from the first one that ever came on."""
    day_ago = at_ms - DAY_MS
    slots = expected(world.settings.cron, after_ms=day_ago, until_ms=at_ms)
    began = min((run.started_at for run in runs if run.command == "tick"), default=at_ms)
    if any(slot < began - LATE_MS for slot in slots):  # Nobody ticked then; had anybody before?
        older = await world.backend.monitor.runs(since_ms=0, until_ms=day_ago, limit=RUNS_MAX)
        if any(run.command == "tick" for run in older):
            return slots
    return [slot for slot in slots if slot > began]


def _as_of(run: RunFact, at_ms: int) -> RunFact:
    """Return what was known of a run at a moment: nothing but its beginning, if it went on."""
    if run.finished_at is not None and run.finished_at <= at_ms:
        return run
    return RunFact(run.id, run.command, run.started_at, finished_at=None, outcome=None)


async def depth_of(world: Viewpoint) -> Depth | None:
    """Return what the queue holds; None, and a line in the log, if it does not say."""
    try:
        return await world.backend.queue.depth()
    except (UnavailableError, ConfigurationError) as exc:
        level: Severity = "info" if isinstance(world.backend.queue, NoQueue) else "warning"
        world.log.note(level, "the queue does not say what it holds", why=str(exc))
        return None
