"""How many requests the worker makes: the API allows 1,200 in five minutes, for a whole user.

Of 500 connections that are due a tenth has to be refreshed first, at the pace that Google allows:
ten a second, which is what spreads the commits over several requests.
"""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.backend import Cloudflare as Cloudflared
from clearlift_adapters.clock import SystemClock
from clearlift_adapters.memory_refresher import MemoryRefresher
from clearlift_adapters.memory_rescue import MemoryRescue
from clearlift_adapters.migrations import migrate
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from clearlift_engine.ports import Clock
from clearlift_engine.relay import BATCH, RelayPorts, RelayReport, drain
from clearlift_engine.run import TickPorts, TickReport, TickSettings
from clearlift_engine.tick import tick
from tests.e2e.authority import Authority
from tests.e2e.program import CIPHER
from tests.given import NOW_MS
from tests.seed import Value
from tests.worker import GOOGLE, never
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.program import CloudProgram
from tests.workerd.tables import D1Tables
from tests.world import counted_ids

ORGANIZATIONS: Final = 20
HASTE: Final = 10  # Seconds that pass in one: requests seem slow, as over a distance.


class HastyClock(SystemClock):
    """The machine's clock, from NOW_MS on, but faster: a pace is kept in less time."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def now(self) -> int:
        return NOW_MS + (time.monotonic_ns() - self._start_ns) * HASTE // 1_000_000

    async def sleep(self, ms: int) -> None:
        await super().sleep(ms // HASTE)


def connection(number: int, expiring: Sequence[str]) -> dict[str, Value]:
    """Return a row; of ten, one token ends in a minute, of each of these platforms in turn."""
    ends_soon = number % 10 == 0
    return {
        "id": f"c{number:05}",
        "organization_id": f"org-{number % ORGANIZATIONS}",
        "platform": expiring[number // 10 % len(expiring)] if ends_soon else "google",
        "account_id": str(number),
        "connected_by": "user",
        "last_synced_at": iso(NOW_MS - 2 * HOUR_MS),
        "credentials_encrypted": CIPHER.seal(f"at-{number}"),
        "refresh_token_encrypted": CIPHER.seal(f"rt-{number}"),
        "expires_at": iso(NOW_MS + (MINUTE_MS if ends_soon else HOUR_MS)),
    }


def connect(running: Cloudflare, stage: Stage, count: int, *expiring: str) -> None:
    """Add connections, all of them due, a tenth of them to be refreshed first."""
    organizations: list[dict[str, Value]] = [{"id": f"org-{n}"} for n in range(ORGANIZATIONS)]
    with D1Tables(running, stage) as tables:
        tables.insert_many("organizations", organizations)
        rows = [connection(number, expiring) for number in range(count)]
        tables.insert_many("platform_connections", rows)


@pytest.mark.parametrize(
    ("platforms", "tick_most", "both_most"),
    [(("google",), 14, 26), (("google", "facebook", "tiktok"), 12, 23)],
    ids=["google", "several"],
)
async def test_tick_over_500_takes_far_less_than_20_requests(
    workerd: Cloudflare,
    tmp_path: Path,
    platforms: Sequence[str],
    tick_most: int,
    both_most: int,
) -> None:
    authority = Authority()
    async with authority.serving():
        program = CloudProgram(tmp_path, workerd, **authority.environment)
        await program.done("migrate")
        connect(workerd, program.stage, 500, *platforms)
        before = len(workerd.requests())

        tick = (await program.done("tick", "--json")).report
        ticked = len(workerd.requests()) - before
        relay = (await program.done("relay", "--drain", "--json")).report

    assert (tick["jobs_created"], tick["refreshed"], relay["delivered"]) == (500, 50, 500)
    assert ticked <= tick_most
    assert len(workerd.requests()) - before <= both_most


@asynccontextmanager
async def opened(running: Cloudflare, stage: Stage, clock: Clock) -> AsyncGenerator[Backend]:
    access = Cloudflared(running.tokens.token, running.base_url, clock)
    async with open_backend(stage.database_url, stage.queue_url, cloudflare=access) as backend:
        yield backend


def note(level: str, event: str, **fields: object) -> None:
    """Hear the engine, and say nothing."""


async def tick_of(backend: Backend, clock: Clock) -> TickReport:
    refresher, rescue = MemoryRefresher([GOOGLE], clock), MemoryRescue()
    ids = counted_ids("job")
    ports = TickPorts(backend.store, backend.vault, refresher, rescue, clock, ids)
    settings = TickSettings(gather_ms=backend.gather_ms, claims_max=backend.claims_max)
    now_ms = clock.now()
    outcome = await tick(ports, settings, run_id="run", now_ms=now_ms, should_stop=never, note=note)
    return outcome.report


async def relay_of(backend: Backend, clock: Clock) -> RelayReport:
    ports = RelayPorts(backend.store, backend.queue, backend.leases, clock)
    gather_ms = backend.gather_ms
    return await drain(
        ports, run_id="run-2", batch=BATCH, should_stop=never, note=note, gather_ms=gather_ms
    )


async def test_5000_take_requests_in_proportion_and_one_more_for_each_100_messages(
    workerd: Cloudflare, stage: Stage
) -> None:
    async with opened(workerd, stage, SystemClock()) as backend:
        await migrate(backend.db)
    connect(workerd, stage, 5_000, "google")
    before, clock = len(workerd.requests()), HastyClock()

    async with opened(workerd, stage, clock) as backend:
        ticked = await tick_of(backend, clock)
        tick_requests = len(workerd.requests()) - before
        relayed = await relay_of(backend, clock)

    routes = Counter(each.route for each in workerd.requests()[before:])
    assert (ticked.jobs_created, ticked.refreshed, relayed.delivered) == (5_000, 500, 5_000)
    # Alone on a machine it is some 16 for each 500; on a busy one commits are further apart.
    assert tick_requests <= 5 * 26
    assert routes["messages/batch"] == 5_000 // 100
    assert routes["query"] <= 5 * 34
