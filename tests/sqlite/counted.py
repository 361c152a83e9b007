"""A store that counts what it costs, without a clock: in steps of SQLite's virtual machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

import aiosqlite

from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.sqlite import SqliteStore
from clearlift_engine.policy import iso
from tests.given import ago
from tests.seed import Seed, SqliteTables

if TYPE_CHECKING:
    from sqlite3 import Connection


class Counted:
    """A store over a file, and how many hundreds of steps it has taken so far."""

    def __init__(self, file: Path) -> None:
        self._connection = aiosqlite.Connection(
            lambda: sqlite3.connect(file, isolation_level=None, check_same_thread=False), 64
        )
        self.store = SqliteStore(SqliteDatabase(self._connection, file))
        self.hundreds = 0

    async def __aenter__(self) -> Self:
        await self._connection
        await self._connection.execute("PRAGMA foreign_keys = ON")
        await self._connection.set_progress_handler(self._count, 100)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    def _count(self) -> int:
        self.hundreds += 1
        return 0


def fill(raw: "Connection", *, connections: int) -> None:
    """Add connections that are not due, each with a job that was completed."""
    seed = Seed(SqliteTables(raw))
    raw.execute("BEGIN")
    for number in range(connections):
        seed.add_connection(f"c{number}", last_synced_at=iso(ago(minutes=1)))
        seed.add_job(f"job of c{number}", f"c{number}", status="completed")
    raw.execute("COMMIT")
