"""The day itself: every quarter of an hour a tick and a relay, then the consumer, and incidents.

The worker and the two other programs each have a connection to the database of their own, as they
would have if they were processes of their own.
"""

import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from os import urandom
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.cipher import KEY_BYTES, FieldCipher
from clearlift_adapters.demo.api_worker import ApiWorker
from clearlift_adapters.demo.consumer import Consumer
from clearlift_adapters.demo.listener import listening
from clearlift_adapters.demo.provider import CLIENT, PLATFORMS, Providers
from clearlift_adapters.demo.story import (
    HOURS,
    INCIDENTS,
    NEWCOMERS,
    SEED,
    THROTTLED_MINUTES,
    TICK_MINUTES,
    Happening,
    Incident,
)
from clearlift_adapters.demo.timelapse import TimedRefresher, Timelapse
from clearlift_adapters.ids import new_id
from clearlift_adapters.migrations import migrate
from clearlift_adapters.oauth.providers import built_in
from clearlift_adapters.oauth.refresher import HttpTokenRefresher
from clearlift_adapters.rescue import FileRescue
from clearlift_adapters.stores.queries import Query
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, Schedule
from clearlift_engine.relay import RelayPorts, RelayReport, drain
from clearlift_engine.run import Note, TickPorts, TickReport, TickSettings
from clearlift_engine.tick import tick

TICK_MS: Final = TICK_MINUTES * MINUTE_MS
SCHEDULE: Final = Schedule()
RELAY_BATCH: Final = 500

_OPEN_TWICE: Final = Query(
    "open_twice",
    """
    SELECT connection_id FROM sync_jobs
    WHERE status IN ('pending', 'running')
      AND max(unixepoch(created_at), coalesce(unixepoch(started_at), 0)) > ?1
    GROUP BY connection_id HAVING count(*) > 1
    """,
)


@dataclass(frozen=True)
class Stage:
    """Everybody who is in it."""

    clock: Timelapse
    worker: Backend
    others: Backend
    tick_ports: TickPorts
    providers: Providers
    api_worker: ApiWorker
    consumer: Consumer
    note: Note

    @property
    def relay_ports(self) -> RelayPorts:
        """Return what relay asks of it."""
        return RelayPorts(self.worker.store, self.worker.queue, self.worker.leases, self.clock)


class Hour(msgspec.Struct):
    """What came of one hour, for whoever watches."""

    begins_at: int
    jobs: int = 0
    refreshed: int = 0
    failed: int = 0
    deferred: int = 0
    delivered: int = 0
    incidents: list[str] = []


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
    async with _stage(file, starts_at, note) as stage:
        await stage.api_worker.connect_all(connections, starts_at)
        open_twice: list[str] = []
        hour = Hour(starts_at)
        for at_ms in range(starts_at, ends_at + 1, TICK_MS):
            if at_ms == hour.begins_at + HOUR_MS:
                on_hour(hour)
                hour = Hour(at_ms)
            stage.clock.set(at_ms)
            await _let_happen(stage, (at_ms - starts_at) // MINUTE_MS, hour)
            await _tick_and_relay(stage, hour)
            horizon_s = (stage.clock.now() - SCHEDULE.job_limit_ms) // 1000
            open_twice += [row[0] for row in await stage.others.db.read(_OPEN_TWICE, horizon_s)]
            if at_ms < ends_at:  # What the last tick makes stays in the queue, to be looked at.
                await stage.consumer.work(stage.clock.now(), at_ms + TICK_MS)
        return Ledger(
            starts_at,
            ends_at,
            (time.monotonic_ns() - began) // 1_000_000,
            open_twice,
            stage.providers,
            stage.api_worker,
            stage.consumer,
        )


@asynccontextmanager
async def _stage(file: Path, starts_at: int, note: Note) -> AsyncGenerator[Stage]:
    clock = Timelapse(starts_at)
    providers = Providers(clock)
    # Made here, used here, and gone with this process: nobody can read these tokens again.
    cipher = FieldCipher(b64encode(urandom(KEY_BYTES)).decode())
    url = f"sqlite:///{file}"
    async with (
        listening(providers.answer) as address,
        open_backend(url, mode="rwc") as worker,
        open_backend(url) as others,
        HttpTokenRefresher(
            cipher=lambda: cipher,
            providers=built_in(
                dict.fromkeys(PLATFORMS, CLIENT),
                {platform: f"{address}/{platform}" for platform in PLATFORMS},
            ),
            clock=clock,
        ) as refresher,
    ):
        await migrate(worker.db)
        tick_ports = TickPorts(
            worker.store,
            worker.vault,
            TimedRefresher(refresher, clock),
            FileRescue(file.parent / f"{file.name}-rescue"),
            clock,
            new_id,
        )
        # Each has a random source of its own: one's draws are not moved by how many others make.
        draw = partial(Random, SEED)
        api_worker = ApiWorker(others.db, cipher, providers, draw())
        consumer = Consumer(others.db, others.inbox, draw())
        yield Stage(clock, worker, others, tick_ports, providers, api_worker, consumer, note)


async def _tick_and_relay(stage: Stage, hour: Hour) -> None:
    ticked = await _ticked(stage)
    relayed = await _relayed(stage)
    hour.jobs += ticked.jobs_created
    hour.refreshed += ticked.refreshed
    hour.failed += ticked.failed
    hour.deferred += ticked.deferred
    hour.delivered += relayed.delivered


async def _ticked(stage: Stage) -> TickReport:
    run_id, journal = new_id(), stage.worker.journal
    now_ms = stage.clock.now()
    await journal.begin(run_id, "tick", now_ms=now_ms)
    report, _ = await tick(
        stage.tick_ports,
        TickSettings(SCHEDULE),
        run_id=run_id,
        now_ms=now_ms,
        should_stop=lambda: False,
        note=stage.note,
    )
    encoded = msgspec.json.encode(report)
    await journal.finish(run_id, now_ms=stage.clock.now(), outcome="done", report=encoded)
    return report


async def _relayed(stage: Stage) -> RelayReport:
    run_id, journal = new_id(), stage.worker.journal
    await journal.begin(run_id, "relay", now_ms=stage.clock.now())
    report = await drain(
        stage.relay_ports,
        run_id=run_id,
        batch=RELAY_BATCH,
        should_stop=lambda: False,
        note=stage.note,
    )
    encoded = msgspec.json.encode(report)
    await journal.finish(run_id, now_ms=stage.clock.now(), outcome="done", report=encoded)
    return report


async def _let_happen(stage: Stage, minute: int, hour: Hour) -> None:
    for incident in INCIDENTS:
        if incident.minute == minute:
            hour.incidents.append(incident.says)
            await _happen(stage, incident)


async def _happen(stage: Stage, incident: Incident) -> None:
    happening: Happening = incident.happening
    providers, api_worker, now_ms = stage.providers, stage.api_worker, stage.clock.now()
    match happening:
        case "facebook_throttles":
            providers.throttle("facebook", THROTTLED_MINUTES)
        case "tiktok_answer_lost":
            for member in api_worker.named("lost_answer"):
                providers.lose_answer(member.platform, member.account_id)
        case "consent_withdrawn":
            for member in api_worker.named("example", "revoked", "left"):
                providers.revoke(member.platform, member.account_id)
        case "google_down":
            providers.fail("google")
        case "google_up":
            providers.recover("google")
        case "reconnected":
            returning = api_worker.named("example", "revoked", "lost_answer")
            await api_worker.reconnect(returning, now_ms)
        case "consumer_dies":
            stage.consumer.die()
        case "consumer_back":
            await stage.consumer.come_back(now_ms)
        case "newcomers":
            await api_worker.connect(NEWCOMERS, now_ms)
        case "deactivated":
            await api_worker.deactivate(api_worker.named("leaving"))
