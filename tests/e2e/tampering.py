"""A database with a past, and what somebody can do to it who has the file and no scruples.

The past is made by the program itself: every transition of the machine is in it, and connections
that have been through two cycles. Whoever can write to the file can drop the triggers and switch
off the constraints first, so that is done here, too.
"""

import shutil
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from sqlite3 import Connection as Sqlite
from typing import Final

from clearlift_adapters.backend import open_backend
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.audit import Violation
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from clearlift_engine.ports import Archive
from clearlift_engine.replay import ReplayReport, replay
from tests.e2e.authority import Authority
from tests.e2e.program import Program, connect
from tests.given import NOW_MS, ago, plain
from tests.loopback import answer_json
from tests.seed import Row, SqliteTables, Value

LATER_MS: Final = NOW_MS + 2 * HOUR_MS

_PREPARATIONS: Final = (
    "PRAGMA ignore_check_constraints = ON",
    "DROP TRIGGER outbox_refuses_update",
    "DROP TRIGGER outbox_refuses_delete",
    "DROP TRIGGER outbox_refuses_replace",
)


async def make_past(program: Program, authority: Authority) -> None:
    """Run two ticks and a relay, between them a consumer; providers refuse, operators speak."""
    soon, synced = iso(NOW_MS + MINUTE_MS), plain(ago(hours=3))
    with program.tables() as tables:
        for name in ("synced", "o'hara\n日本", "never finished"):
            connect(tables, name, platform="stripe", last_synced_at=synced)
        connect(tables, "refreshed", expires_at=soon)
        connect(tables, "dead", expires_at=soon)
        connect(tables, "throttled", platform="tiktok", expires_at=soon)
    authority.otherwise = {
        "rt-dead": answer_json(400, {"error": "invalid_grant"}),
        "rt-throttled": answer_json(429, {}, {"Retry-After": "60"}),
    }
    await program.run("tick")
    await program.done("relay", "--drain")
    with program.tables() as tables:
        for job in tables.rows("sync_jobs"):
            if job["connection_id"] != "never finished":
                tables.update_job(job["id"], status="completed", completed_at=iso(NOW_MS))
                tables.update_connection(job["connection_id"], last_synced_at=iso(NOW_MS))
    authority.otherwise = {}
    await program.done("tick", now_ms=LATER_MS)
    for word, name in (("retry", "dead"), ("pause", "synced"), ("resume", "synced")):
        await program.done(word, name, "--reason", "a reason", now_ms=LATER_MS)


class Tampered:
    """An open database, its archive, and a way in beside it."""

    def __init__(self, db: Sqlite, archive: Archive) -> None:
        self._db, self._archive = db, archive

    async def replay(self) -> ReplayReport:
        return await replay(self._archive)

    def rows(self, table: str) -> Sequence[Row]:
        return SqliteTables(self._db).rows(table)

    async def with_cell(
        self, table: str, row: Row, column: str, value: Value
    ) -> Sequence[Violation]:
        """Return what replay finds while one cell of a row holds another value."""
        key = next(iter(row))  # The first column of each table is its key.
        found = value if column == key else row[key]
        self._set(table, (column, value), (key, row[key]))
        report = await self.replay()
        self._set(table, (column, row[column]), (key, found))
        return report.violations

    async def without(self, table: str, row: Row) -> Sequence[Violation]:
        """Return what replay finds while a row is not there."""
        key = next(iter(row))
        self._db.execute(f"DELETE FROM {table} WHERE {key} = ?", (row[key],))
        report = await self.replay()
        SqliteTables(self._db).insert(table, row)
        return report.violations

    def _set(self, table: str, cell: tuple[str, Value], where: tuple[str, Value]) -> None:
        sql = (
            f"UPDATE {table} SET {cell[0]} = {_mark(cell[1])} WHERE {where[0]} = {_mark(where[1])}"
        )
        assert self._db.execute(sql, (cell[1], where[1])).rowcount == 1


def tamper(file: Path, folder: Path, *statements: str) -> Path:
    """Return a copy of the database, with `statements` done to it."""
    copy = folder / "tampered.db"
    shutil.copy(file, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        for statement in (*_PREPARATIONS, *statements):
            db.execute(statement)
    return copy


@asynccontextmanager
async def opened(file: Path) -> AsyncGenerator[Tampered]:
    """Open a database without its triggers, and go past its constraints."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute(_PREPARATIONS[0])
        async with open_backend(f"sqlite:///{file}", mode="ro") as backend:
            yield Tampered(db, backend.archive)


def other_values(value: Value) -> Iterator[Value]:
    """Yield `value` with one byte changed, at several places; bytes are a text that may be none."""
    match value:
        case None:
            yield 1
        case int():
            # Below, the values of other rows: their keys are taken.
            yield from (value ^ (1 << bit) for bit in (6, 12, 40))
        case str():
            raw = value.encode()
            middle, last = len(raw) // 2, len(raw) - 1
            # With its highest bit turned, a letter is no UTF-8 any more.
            for place, bit in ((0, 0), (middle, 0), (middle, 7), (last, 0)):
                yield raw[:place] + bytes([raw[place] ^ (1 << bit)]) + raw[place + 1 :]
        case _:
            raise AssertionError(value)


def _mark(value: Value) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
