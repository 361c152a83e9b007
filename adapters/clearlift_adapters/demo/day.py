"""The day itself: every quarter of an hour a tick and a relay, then the consumer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from clearlift_adapters.demo.api_worker import ApiWorker
from clearlift_adapters.demo.consumer import Consumer
from clearlift_adapters.demo.incidents import happen
from clearlift_adapters.demo.provider import Providers
from clearlift_adapters.demo.stage import SCHEDULE, TICK_MS, Stage, set_up
from clearlift_adapters.demo.story import HOURS, INCIDENTS
from clearlift_adapters.ids import new_id
from clearlift_adapters.stores.queries import Query
from clearlift_engine.policy import HOUR_MS, MINUTE_MS
from clearlift_engine.relay import BATCH, RelayReport, drain
from clearlift_engine.run import Note, TickReport, TickSettings
from clearlift_engine.tick import tick

_OPEN_TWICE: Final = Query(
    "open_twice",
    """
    SELECT connection_id FROM sync_jobs
    WHERE status IN ('pending', 'running')
      AND max(unixepoch(created_at), coalesce(unixepoch(started_at), 0)) > ?1
    GROUP BY connection_id HAVING count(*) > 1
    """,
)


class Hour(msgspec.Struct):
    """What came of one hour, for whoever watches."""

    begins_at: int
    jobs: int = 0
    refreshed: int = 0
    failed: int = 0
    deferred: int = 0
    incidents: list[str] = []

    def add(self, report: TickReport) -> None:
        """Count what a tick did."""
        self.jobs += report.jobs_created
        self.refreshed += report.refreshed
        self.failed += report.failed
        self.deferred += report.deferred


@dataclass(frozen=True)
class Ledger:
    """What was seen on the way and cannot be read from the file afterwards."""

    starts_at: int
    ends_at: int
    duration_ms: int
    open_twice: list[str]
    providers: Providers
    api_worker: ApiWorker
    consumer: Consumer


async def live(
    file: Path, connections: int, *, note: Note, on_hour: Callable[[Hour], None]
) -> Ledger:
    """Let a day happen in a new database: the last one, so that it ends about now."""
    began = time.monotonic_ns()
    ends_at = time.time_ns() // 1_000_000 // TICK_MS * TICK_MS
    starts_at = ends_at - HOURS * HOUR_MS
    open_twice: list[str] = []
    async with set_up(file, starts_at, note) as stage:
        await stage.api_worker.connect_all(connections, starts_at)
        hour = Hour(starts_at)
        for at_ms in range(starts_at, ends_at + 1, TICK_MS):
            if at_ms == hour.begins_at + HOUR_MS:
                on_hour(hour)
                hour = Hour(at_ms)
            stage.clock.set(at_ms)
            hour.incidents += await _incidents(stage, (at_ms - starts_at) // MINUTE_MS)
            hour.add(await _ticked(stage))
            await _relayed(stage)
            open_twice += await _open_twice(stage)
            if at_ms < ends_at:  # What the last tick makes stays in the queue, to be looked at.
                await stage.consumer.work(stage.clock.now(), at_ms + TICK_MS)
    duration_ms = (time.monotonic_ns() - began) // 1_000_000
    providers, api_worker, consumer = stage.providers, stage.api_worker, stage.consumer
    return Ledger(starts_at, ends_at, duration_ms, open_twice, providers, api_worker, consumer)


async def _incidents(stage: Stage, minute: int) -> list[str]:
    """Let happen what belongs to this minute; return what it was."""
    now = [incident for incident in INCIDENTS if incident.minute == minute]
    for incident in now:
        await happen(stage, incident.happening)
    return [incident.says for incident in now]


async def _ticked(stage: Stage) -> TickReport:
    run_id, journal = new_id(), stage.worker.journal
    now_ms = stage.clock.now()
    await journal.begin(run_id, "tick", now_ms=now_ms)
    outcome = await tick(
        stage.tick_ports,
        TickSettings(SCHEDULE),
        run_id=run_id,
        now_ms=now_ms,
        should_stop=lambda: False,
        note=stage.note,
    )
    report = msgspec.json.encode(outcome.report)
    await journal.finish(run_id, now_ms=stage.clock.now(), outcome="done", report=report)
    return outcome.report


async def _relayed(stage: Stage) -> RelayReport:
    run_id, journal = new_id(), stage.worker.journal
    await journal.begin(run_id, "relay", now_ms=stage.clock.now())
    report = await drain(
        stage.relay_ports,
        run_id=run_id,
        batch=BATCH,
        should_stop=lambda: False,
        note=stage.note,
    )
    encoded = msgspec.json.encode(report)
    await journal.finish(run_id, now_ms=stage.clock.now(), outcome="done", report=encoded)
    return report


async def _open_twice(stage: Stage) -> list[str]:
    horizon_s = (stage.clock.now() - SCHEDULE.job_limit_ms) // 1000
    return [row[0] for row in await stage.others.db.read(_OPEN_TWICE, horizon_s)]
