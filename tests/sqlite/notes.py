"""A database with one small table, for tests of what lies beneath the stores."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

from clearlift_adapters.stores.database import Mode, SqliteDatabase
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import Step

ADD: Final = Query("add", "INSERT INTO notes (id, text) VALUES (?1, ?2)")
ALL: Final = Query("all", "SELECT id, text FROM notes ORDER BY id")
_SCHEMA: Final = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"


def notes_file(file: Path) -> Path:
    """Make a file with an empty table `notes`."""
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute(_SCHEMA)
    return file


@asynccontextmanager
async def notes(
    file: Path, mode: Mode = "rw", *, busy_ms: int = 5_000
) -> AsyncGenerator[SqliteDatabase]:
    """Open such a file; the timeout is only reached if something is wrong."""
    async with SqliteDatabase.open(file, mode, busy_ms=busy_ms) as db:
        yield db


def adding(*ids: int) -> Sequence[Step]:
    """Return what adds these notes, each in a step of its own."""
    return [(ADD, [(number, f"note {number}")]) for number in ids]


async def ids_in(db: SqliteDatabase) -> list[int]:
    """Return the ids of all notes."""
    return [row[0] for row in await db.read(ALL)]
