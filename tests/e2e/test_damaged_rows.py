"""Rows that no program should have written: tick, relay and replay go on with all the others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection as Sqlite

import pytest

from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.events import Level
from clearlift_engine.preview import preview
from clearlift_engine.replay import ReplayReport, replay
from tests.given import NOW_MS, job_commit, take
from tests.worker import Worker
from tests.world import sqlite_world

BY_POSITION = "(SELECT position FROM connection_state WHERE connection_id = 'b')"
DAMAGES = {
    "data is no JSON": f"UPDATE outbox SET data = '{{' WHERE position = {BY_POSITION}",
    "data has no message": f"UPDATE outbox SET data = '{{}}' WHERE position = {BY_POSITION}",
    "projection is behind": (
        "UPDATE connection_state SET version = version - 1 WHERE connection_id = 'b'"
    ),
}
GATES = {
    "its version is lost": """replace(gate, 'version', 'vevsion')""",
    "it is another's": """replace(gate, 'google', 'goofle')""",
    "it is no JSON": "'{'",
    "it is no UTF-8": "CAST(X'7bff' AS TEXT)",
    "its slots are no numbers": """replace(gate, '[', '["a",')""",
}


@pytest.fixture
async def worker(tmp_path: Path, empty_database: Path) -> AsyncIterator[Worker]:
    async with sqlite_world(empty_database, tmp_path) as world:
        yield Worker(world)


@pytest.fixture
def raw(worker: Worker, tmp_path: Path) -> Iterator[Sqlite]:
    """Open the worker's file as an attacker does: past the adapters, and without the triggers."""
    assert worker.said == []
    with closing(sqlite3.connect(tmp_path / "clearlift.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER outbox_refuses_update")
        yield db


async def test_connection_without_an_id_holds_up_nobody(worker: Worker, raw: Sqlite) -> None:
    worker.seed.add_connection("a")
    worker.expiring("b")
    raw.execute(
        "INSERT INTO platform_connections (id, organization_id, platform, account_id, connected_by)"
        " VALUES (NULL, 'org', 'google', 'nameless', 'user')"
    )

    plan = await planned(worker)
    outcome = await worker.tick()
    report = await worker.relay()

    assert (sorted(plan), sorted(worker.jobs())) == (["a", "b"], ["a", "b"])
    assert (outcome.report.failed, report.delivered, report.pending) == (0, 2, 0)
    assert (await replayed(worker)).violations == []


@pytest.mark.parametrize("blob", ["x'00ff'", "x'61'"], ids=["no text", "spells a"])
async def test_job_of_others_for_a_connection_that_is_no_text_holds_up_nobody(
    worker: Worker, raw: Sqlite, blob: str
) -> None:
    worker.seed.add_connection("a")
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute(
        "INSERT INTO sync_jobs (id, organization_id, connection_id, status)"
        f" VALUES ('theirs', 'org', {blob}, 'pending')"
    )

    await worker.tick()
    report = await worker.relay()

    assert (worker.jobs(), report.delivered) == (["a"], 1)
    assert (await replayed(worker)).violations == []


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize("level", [None, "windowless"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_one_damaged_row_stops_no_other_delivery(
    worker: Worker, raw: Sqlite, damage: str, level: Level | None, batch: int
) -> None:
    for name in "abcd":
        worker.seed.add_connection(name)
        await take(worker.world.store, job_commit(name, f"job of {name}"))
    raw.execute(DAMAGES[damage])
    if level is not None:
        worker.queue = MemoryQueue(worker.clock, level=level)

    async with asyncio.timeout(20):
        report = await worker.relay(batch=batch)
        again = await worker.relay(batch=batch)

    assert {name: worker.state(name) for name in "acd"} == dict.fromkeys("acd", "enqueued")
    assert (report.delivered, again.delivered, report.pending) == (3, 0, 1)
    errors = [said.event for said in worker.said if said.level == "error"]
    assert len(errors) == 2  # One line a relay.
    assert (await replayed(worker)).violations != []


async def planned(worker: Worker) -> list[str]:
    """Return for whom `tick --dry-run` foresees a job."""
    world = worker.world
    plan = await preview(
        world.store, world.survey, worker.refresher, worker.settings, now_ms=NOW_MS
    )
    return [job.connection_id for job in plan.jobs]


async def replayed(worker: Worker) -> ReplayReport:
    return await replay(worker.world.archive)


@pytest.mark.parametrize("damage", GATES.values(), ids=GATES)
async def test_damaged_gate_of_a_provider_is_passed_and_put_right(
    worker: Worker, raw: Sqlite, damage: str
) -> None:
    worker.expiring("a")
    await worker.tick()
    worker.expiring("b")
    raw.execute(f"UPDATE provider_gates SET gate = {damage}")
    await worker.world.monitor.gates()

    outcome = await asyncio.wait_for(worker.tick(), 60)  # It looked again for ever.

    assert (outcome.report.refreshed, worker.asked()) == (1, ["a", "b"])
    gate = await worker.world.store.gate("google")
    assert [(gate.provider, gate.version)] == raw.execute(
        "SELECT gate ->> 'provider', gate ->> 'version' FROM provider_gates"
    ).fetchall()
