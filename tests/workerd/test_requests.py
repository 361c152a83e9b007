"""How many requests the worker makes: the API allows 1,200 in five minutes, for a whole user."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from clearlift_adapters.backend import Cloudflare as Cloudflared
from clearlift_adapters.backend import open_backend
from clearlift_adapters.clock import SystemClock
from clearlift_adapters.memory_refresher import MemoryRefresher
from clearlift_adapters.memory_rescue import MemoryRescue
from clearlift_adapters.migrations import migrate
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from clearlift_engine.relay import RelayPorts, drain
from clearlift_engine.run import TickPorts, TickSettings
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
HASTE: Final = 20  # Seconds that pass in one.


class HastyClock(SystemClock):
    """The machine's clock from NOW_MS on, but faster: so a pace is kept in less time."""

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
    organizations = [{"id": f"org-{number}"} for number in range(ORGANIZATIONS)]
    with D1Tables(running, stage) as tables:
        tables.insert_many("organizations", organizations)
        rows = [connection(number, expiring) for number in range(count)]
        tables.insert_many("platform_connections", rows)


@pytest.mark.parametrize(
    ("expiring", "most"), [(("google",), 20), (("google", "facebook", "tiktok"), 12)], ids=str
)
async def test_tick_over_500_connections_with_a_tenth_to_refresh_takes_at_most_20_requests(
    workerd: Cloudflare, tmp_path: Path, expiring: Sequence[str], most: int
) -> None:
    authority = Authority()
    async with authority.serving():
        program = CloudProgram(tmp_path, workerd, **authority.environment)
        await program.done("migrate")
        connect(workerd, program.stage, 500, *expiring)
        before = len(workerd.requests())

        done = await program.done("tick", "--json")

    report, requests = done.report, workerd.requests()[before:]
    assert (report["jobs_created"], report["refreshed"]) == (500, 50)
    print(len(requests))
    assert len(requests) <= most


async def test_5000(workerd, stage):
    clock = HastyClock()
    access = Cloudflared(workerd.tokens.token, workerd.base_url, clock, 40)
    async with open_backend(stage.database_url, stage.queue_url, cloudflare=access) as backend:
        await migrate(backend.db)
        connect(workerd, stage, 5_000, "google")
        refresher = MemoryRefresher([GOOGLE], clock)
        refresher.latency_ms = 100
        ports = TickPorts(backend.store, backend.vault, refresher, MemoryRescue(), clock, counted_ids("job"))
        settings = TickSettings(gather_ms=backend.gather_ms, claims_max=backend.claims_max)
        before = len(workerd.requests())
        clock.__init__()
        t=time.time()
        out = await tick(ports, settings, run_id="run", now_ms=NOW_MS, should_stop=never, note=lambda *a, **k: None)
        print(out.report, time.time()-t)
        mid = len(workerd.requests())
        print("TICK", mid-before)
        rep = await drain(RelayPorts(backend.store, backend.queue, backend.leases, clock), run_id="r", batch=500, should_stop=never, note=lambda *a, **k: None, gather_ms=backend.gather_ms)
        reqs = workerd.requests()
        print("RELAY", rep, len(reqs)-mid, Counter(r.route for r in reqs[mid:]))
