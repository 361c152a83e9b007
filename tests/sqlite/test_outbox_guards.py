"""The log refuses to be changed, whoever asks and however it is put.

Not everybody's database connection has recursive_triggers on, without which INSERT OR REPLACE fires
no delete trigger; so each statement is tried both ways, on a plain connection that knows nothing of
this worker.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clearlift_adapters.backend import open_backend
from clearlift_adapters.stores.library import sqlite3
from tests.given import DUE, commit, orphan_commit, started, take
from tests.seed import Seed, SqliteTables
from tests.sqlite.foreign import copy_of

if TYPE_CHECKING:
    from sqlite3 import Connection

COLUMNS = (
    "connection_id, version, transition, source, target, occurred_at, run_id, job_id, data, hash"
)
ROW = "'c1', 1, 'fell_due', NULL, 'due', 1, 'run', NULL, '{}', 'another hash'"
OTHER = "'c9', 1, 'fell_due', NULL, 'due', 1, 'run', NULL, '{}', 'another hash'"
REFUSED = {
    "update": "UPDATE outbox SET data = '{}' WHERE position = 1",
    "update that changes nothing": "UPDATE outbox SET data = data",
    "update or ignore": "UPDATE OR IGNORE outbox SET hash = 'x' WHERE position = 1",
    "update or replace": "UPDATE OR REPLACE outbox SET connection_id = 'c2' WHERE position = 1",
    "update of the position": "UPDATE outbox SET position = 99 WHERE position = 1",
    "delete": "DELETE FROM outbox WHERE position = 2",
    "delete all": "DELETE FROM outbox",
    "insert": f"INSERT INTO outbox ({COLUMNS}) VALUES ({ROW})",
    "insert or ignore": f"INSERT OR IGNORE INTO outbox ({COLUMNS}) VALUES ({ROW})",
    "insert or replace": f"INSERT OR REPLACE INTO outbox ({COLUMNS}) VALUES ({ROW})",
    "replace": f"REPLACE INTO outbox ({COLUMNS}) VALUES ({ROW})",
    "replace by position": f"REPLACE INTO outbox (position, {COLUMNS}) VALUES (1, {OTHER})",
    "replace in bulk": f"REPLACE INTO outbox (position, {COLUMNS}) SELECT * FROM outbox",
    "upsert": f"INSERT INTO outbox ({COLUMNS}) VALUES ({ROW})"
    " ON CONFLICT (connection_id, version) DO UPDATE SET hash = excluded.hash",
    "upsert by position": f"INSERT INTO outbox (position, {COLUMNS}) VALUES (1, {OTHER})"
    " ON CONFLICT (position) DO UPDATE SET data = excluded.data",
}
GOOD: dict[str, Any] = {
    "connection_id": "c9",
    "version": 1,
    "transition": "fell_due",
    "source": None,
    "target": "due",
    "occurred_at": 1,
    "run_id": "run",
    "data": "{}",
    "hash": "hash",
}
BROKEN: dict[str, dict[str, Any]] = {
    "a version of 0": {"version": 0, "source": "due"},
    "a first row with a source": {"source": "due"},
    "a later row without a source": {"version": 2},
    "a target that is no state": {"target": "done"},
    "a source that is no state": {"version": 2, "source": "Due"},
    "a time as text": {"occurred_at": "2026-10-10T12:00:00Z"},
    "a version as text": {"version": "one"},
    "a hash of bytes": {"hash": b"hash"},
    **{f"no {column}": {column: None} for column in GOOD if column != "source"},
}


@pytest.fixture
async def file(tmp_path: Path, empty_database: Path) -> Path:
    """Return a database whose log holds three rows."""
    file = tmp_path / "clearlift.db"
    copy_of(empty_database, file).close()
    async with open_backend(f"sqlite:///{file}") as backend:
        await take(backend.store, commit("c1", DUE, started()), commit("c2", DUE))
    return file


@pytest.fixture(params=["ON", "OFF"], ids=["recursive triggers", "no recursive triggers"])
def raw(request: pytest.FixtureRequest, file: Path) -> Iterator["Connection"]:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute(f"PRAGMA recursive_triggers = {request.param}")
        yield db


def log(raw: "Connection") -> list[tuple[Any, ...]]:
    return raw.execute("SELECT * FROM outbox ORDER BY position").fetchall()


def insert(raw: "Connection", row: dict[str, Any]) -> None:
    marks = ", ".join(f":{column}" for column in row)
    raw.execute(f"INSERT INTO outbox ({', '.join(row)}) VALUES ({marks})", row)


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED)
def test_log_refuses_every_statement_that_would_change_a_row(raw: "Connection", sql: str) -> None:
    before = log(raw)

    with pytest.raises(sqlite3.IntegrityError, match="outbox is append-only"):
        raw.execute(sql)

    assert log(raw) == before


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_log_refuses_a_row_that_says_nothing_sensible(
    raw: "Connection", change: dict[str, Any]
) -> None:
    before = log(raw)

    with pytest.raises(sqlite3.IntegrityError):
        insert(raw, {**GOOD, **change})

    assert log(raw) == before


def test_log_takes_a_new_row_and_gives_it_the_next_position(raw: "Connection") -> None:
    before = log(raw)

    insert(raw, GOOD)

    assert [row[0] for row in log(raw)] == [*(row[0] for row in before), 4]


def test_refused_statements_use_up_no_position(raw: "Connection") -> None:
    for sql in REFUSED.values():
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(sql)
    with pytest.raises(sqlite3.IntegrityError):
        insert(raw, {**GOOD, "target": "done"})

    insert(raw, GOOD)

    assert [row[0] for row in log(raw)] == [1, 2, 3, 4]


async def test_lost_and_refused_commits_use_up_no_position(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        Seed(SqliteTables(raw)).add_connection("c8")
    async with open_backend(f"sqlite:///{file}") as backend:
        lost, refused = commit("c1", DUE, run_id="late"), orphan_commit("c8")
        appended = await backend.store.append([lost, refused, commit("c9", DUE)])

        await take(backend.store, commit("c10", DUE))

    assert appended.lost == {"c1"}
    assert list(appended.refused) == ["c8"]
    with closing(sqlite3.connect(file)) as raw:
        rows = [(row[0], row[1]) for row in log(raw)]
    assert rows == [(1, "c1"), (2, "c1"), (3, "c2"), (4, "c9"), (5, "c10")]


async def test_rolled_back_transaction_uses_up_no_position(raw: "Connection") -> None:
    raw.execute("BEGIN IMMEDIATE")
    insert(raw, GOOD)
    raw.execute("ROLLBACK")

    insert(raw, {**GOOD, "connection_id": "c10"})

    assert [row[:2] for row in log(raw)][-1] == (4, "c10")


def test_projection_and_the_rest_may_change_freely(raw: "Connection") -> None:
    raw.execute("UPDATE connection_state SET failures = failures + 1")
    raw.execute("DELETE FROM connection_state")

    assert raw.execute("SELECT count(*) FROM connection_state").fetchall() == [(0,)]
