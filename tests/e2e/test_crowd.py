"""Four ticks and three relays at once on one file: what is due is served once, and nobody fails."""

import asyncio
import signal
from collections.abc import Sequence
from typing import Final

from clearlift_engine.policy import MINUTE_MS, iso
from tests.e2e.authority import Authority
from tests.e2e.program import Done, Program, connect, ended
from tests.given import NOW_MS, ago, plain
from tests.seed import Seed

TICKS: Final = 4
RELAYS: Final = 3
DUE: Final = 2_000
EXPIRING: Final = 60
# What may be said of somebody else's work, and what is said of one's own.
ORDINARY: Final = {"another worker took it", "refreshed", "relaying", "delivered"}
RELAY: Final = ("--interval", "0.02", "--batch", "50", "-v", "--json")


async def test_two_thousand_connections_get_one_job_and_one_message_each(
    program: Program,
) -> None:
    with program.tables() as tables:
        seed(tables, DUE)

    ticks, relays = await crowd(program)

    assert sum(tick.report["jobs_created"] for tick in ticks) == DUE
    assert sum(relay.report["delivered"] for relay in relays) == DUE
    assert_each_once(program)
    assert said([*ticks, *relays]) <= ORDINARY
    assert (await program.done("replay", "--json")).report["violations"] == []


async def test_a_refresh_token_that_is_good_for_one_use_is_used_once(
    program: Program, authority: Authority
) -> None:
    (program.folder / "clearlift.toml").write_text(authority.declaration(requests_per_second=50))
    with program.tables() as tables:
        seed(tables, DUE - EXPIRING)
        for number in range(EXPIRING):
            connect(tables, f"e{number}", platform="acme", expires_at=iso(NOW_MS + MINUTE_MS))

    ticks, relays = await crowd(program)

    assert len(authority.visits) == EXPIRING
    assert sorted(authority.sent) == sorted(f"rt-e{number}" for number in range(EXPIRING))
    assert sum(tick.report["refreshed"] for tick in ticks) == EXPIRING
    for number in range(EXPIRING):
        assert program.access_token(f"e{number}") == authority.granted[f"rt-e{number}"]
    assert_each_once(program)
    assert said([*ticks, *relays]) <= ORDINARY
    assert (await program.done("replay", "--json")).report["violations"] == []


def seed(tables: Seed, number: int) -> None:
    for index in range(number):
        organization_id = f"org{index % 7}"
        columns = {"last_synced_at": plain(ago(hours=2)), "organization_id": organization_id}
        tables.add_connection(f"c{index}", platform="stripe", **columns)


async def crowd(program: Program) -> tuple[Sequence[Done], Sequence[Done]]:
    """Run the ticks beside relays that go on for ever, then as many relays for what is left."""
    relays = [await program.start("relay", *RELAY) for _ in range(RELAYS)]
    ticks = await asyncio.gather(
        *(program.done("tick", "-v", "--json", CLEARLIFT_BATCH_SIZE="100") for _ in range(TICKS))
    )
    for relay in relays:
        relay.send_signal(signal.SIGTERM)
    stopped = await asyncio.gather(*(ended(relay) for relay in relays))
    last = await asyncio.gather(
        *(program.done("relay", "--drain", "-v", "--json") for _ in range(RELAYS))
    )
    assert {relay.code for relay in stopped} == {0}
    return ticks, [*stopped, *last]


def assert_each_once(program: Program) -> None:
    """Every connection has one job and one message, and they are each other's."""
    jobs = {row["id"]: row["connection_id"] for row in program.rows("sync_jobs")}
    queued = [row["job_id"] for row in program.rows("queue_messages")]

    assert len(jobs) == len(set(jobs.values())) == DUE
    assert sorted(queued) == sorted(jobs)


def said(runs: Sequence[Done]) -> set[str]:
    return {line["event"] for run in runs for line in run.log}
