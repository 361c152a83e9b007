"""What `doctor` asks of a SQL database, beside what every Monitor knows."""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.queries import Query, bind, load
from clearlift_adapters.stores.sql import Database

JOBS_MAX: Final = 10_000

_SQL: Final = load("checkup.sql")
_TIMES: Final = bind(_SQL, "times", "limit")
_CLAIMS: Final = bind(_SQL, "claims", "limit")
_JOURNAL: Final = Query("journal_mode", "PRAGMA journal_mode")
_SYNCHRONOUS: Final = Query("synchronous", "PRAGMA synchronous")


class Times(msgspec.Struct, frozen=True):
    """How the times of a shared column are written, by number of rows."""

    place: str  # TABLE.COLUMN
    plain: int  # YYYY-MM-DD HH:MM:SS
    iso: int  # YYYY-MM-DDTHH:MM:SS.sssZ
    unreadable: int
    example: str | None  # The id of a row that nobody can read.


class Claims(msgspec.Struct, frozen=True):
    """What has become of the newest jobs."""

    jobs: int
    claimed: int
    wait_ms: int  # From a job's creation to its claim, on average.


class SqlCheckup:
    """The tables, as one looks at them who suspects that something is wrong."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def times(self) -> Sequence[Times]:
        """Return how times are written, column by column."""
        rows = await self._db.read(_TIMES, JOBS_MAX)
        return [
            Times(place, int(plain or 0), int(iso or 0), int(unreadable or 0), example)
            for place, plain, iso, unreadable, example in rows
        ]

    async def claims(self) -> Claims:
        """Return what has become of the newest jobs."""
        [(jobs, claimed, wait_s)] = await self._db.read(_CLAIMS, JOBS_MAX)
        return Claims(int(jobs), int(claimed or 0), round((wait_s or 0) * 1000))


async def durability(db: SqliteDatabase) -> tuple[str, int]:
    """Return how a file is kept whole: its journal mode, and how much is synced (2: all of it)."""
    [(journal,)] = await db.read(_JOURNAL)
    [(synchronous,)] = await db.read(_SYNCHRONOUS)
    return journal, synchronous
