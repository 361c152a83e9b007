"""What is counted ten thousand rows at a time: every row once, whichever page it is on."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clearlift_adapters.backend import open_backend
from clearlift_engine.policy import DAY_MS
from tests.given import NOW_MS
from tests.sqlite.foreign import copy_of

if TYPE_CHECKING:
    from sqlite3 import Connection

ROWS = 20_001  # The third page holds one row.
SERIES = f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS})"
FILLING = (
    "INSERT INTO organizations (id) VALUES ('org')",
    f"""INSERT INTO platform_connections (id, organization_id, platform, account_id, connected_by)
    {SERIES} SELECT printf('c%06d', n), 'org', 'p' || (n % 3), n, 'user' FROM n""",
    f"""INSERT INTO outbox
    (connection_id, version, transition, target, occurred_at, run_id, data, hash)
    {SERIES} SELECT printf('c%06d', n), 1, 'fell_due', 'due', {NOW_MS} + n, 'run', '', n FROM n""",
    """INSERT INTO connection_state
    (connection_id, state, version, hash, changed_at, failures, in_doubt, position)
    SELECT connection_id, 'due', 1, hash, occurred_at, 0, 0, position FROM outbox""",
    f"""INSERT INTO sync_jobs (id, organization_id, connection_id, status, created_at)
    {SERIES} SELECT 'j' || n, 'org', 'c000001', iif(n % 2, 'running', NULL),
    '2026-10-10 12:00:00' FROM n""",
)
# Nothing is left of a whole page, and the last row stands behind a gap.
GAPS = (
    "DELETE FROM {} WHERE rowid BETWEEN 4000 AND 17000",
    "UPDATE {} SET rowid = 90000 WHERE rowid = 20001",
)


@pytest.fixture
def raw(tmp_path: Path, empty_database: Path) -> "Iterator[Connection]":
    with closing(copy_of(empty_database, tmp_path / "pages.db")) as raw:
        raw.execute("BEGIN")
        for statement in FILLING:
            raw.execute(statement)
        raw.execute("COMMIT")
        yield raw


async def test_connections_are_counted_once_now_and_in_the_past(
    tmp_path: Path, raw: "Connection"
) -> None:
    del raw  # It is in the file.
    async with open_backend(f"sqlite:///{tmp_path}/pages.db") as backend:
        monitor = backend.monitor
        now = await monitor.crowds(now_ms=NOW_MS, job_limit_ms=DAY_MS)
        then = await monitor.crowds_at(NOW_MS + ROWS)

    counts = {f"p{number}": len(range(number or 3, ROWS + 1, 3)) for number in range(3)}
    assert {crowd.platform: crowd.connections for crowd in now} == counts
    assert {crowd.platform: crowd.connections for crowd in then} == counts


async def test_rows_behind_gaps_are_counted_too(tmp_path: Path, raw: "Connection") -> None:
    for table in ("platform_connections", "sync_jobs"):
        for statement in GAPS:
            raw.execute(statement.format(table))
    left = ROWS - 13_001

    async with open_backend(f"sqlite:///{tmp_path}/pages.db") as backend:
        crowds = await backend.monitor.crowds(now_ms=NOW_MS, job_limit_ms=DAY_MS)
        jobs = await backend.questions.jobs_by_status(since_ms=NOW_MS)

    assert sum(crowd.connections for crowd in crowds) == left
    assert {job.status: job.jobs for job in jobs} == {None: 3_499, "running": 3_501}


async def test_moves_are_counted_from_the_row_after_a_position_to_the_last(
    tmp_path: Path, raw: "Connection"
) -> None:
    del raw
    async with open_backend(f"sqlite:///{tmp_path}/pages.db") as backend:
        [(flow,), (late,)] = [
            await backend.monitor.flows(since_ms=since_ms, limit=ROWS)
            for since_ms in (NOW_MS, NOW_MS + 5_001)
        ]

    assert (flow.events, late.events) == (ROWS, ROWS - 5_000)
