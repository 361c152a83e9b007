"""Rows about a big database: what is looked for must not cost what is not."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clearlift_adapters.credentials import StoredCredentials
from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.sqlite import SqliteStore
from tests.benchmarks.measure import cron, interleaved, migrated, ratio
from tests.benchmarks.reach import Figure, Row

if TYPE_CHECKING:
    from sqlite3 import Connection

DUE: Final = 100
POLLS: Final = 50
CONNECTIONS: Final = (1_000, 1_000_000)
EVENTS: Final = (10_000, 10_000_000)

_FOLDER: Final = Path(__file__).parent


def crowd(file: Path, size: int) -> Path:
    """Make a database of `size` connections of which a hundred are due."""
    db = _opened(migrated(file))

    def fingerprint(connection_id: str, access: str) -> str:
        return StoredCredentials(connection_id, access, None).fingerprint

    db.create_function("fingerprint", 2, fingerprint, deterministic=True)
    for statement in (_FOLDER / "crowd.sql").read_text().split(";\n"):
        if ":size" in statement:
            db.execute(statement, {"size": size, "due": DUE})
        else:
            db.execute(statement)
    db.execute("COMMIT")
    db.close()
    return file


def finding(folder: Path, rounds: int) -> Figure:
    """Return a tick that finds a hundred due among a million ÷ among a thousand."""
    few, many = (crowd(folder / f"crowd-{size}.db", size) for size in CONNECTIONS)

    def tick(file: Path) -> float:
        spent = cron(file, "tick", "--relay", "--json")
        assert spent.report["jobs_created"] == DUE, spent.report
        _again(file)
        return spent.wall_s

    manys, fews = interleaved(rounds, lambda: tick(many), lambda: tick(few))
    return Figure(ratio(manys, fews), said=f"{min(manys):.2f} s and {min(fews):.2f} s, the process")


def _again(file: Path) -> None:
    """Make those due again that have just been served: their jobs are done at once."""
    db = sqlite3.connect(file)
    db.execute("UPDATE sync_jobs SET status = 'completed' WHERE metadata LIKE '%cron-worker%'")
    db.commit()
    db.close()


def polling(folder: Path, rounds: int) -> Figure:
    """Return how long a relay asks in vain in a log of ten million rows ÷ of ten thousand."""
    short, long = (_log(folder / f"log-{events}.db", events) for events in EVENTS)
    longs, shorts = interleaved(
        rounds, lambda: asyncio.run(_poll(long)), lambda: asyncio.run(_poll(short))
    )
    return Figure(ratio(longs, shorts), said=f"{min(longs) * 1e6:.0f} µs")


def _log(file: Path, events: int) -> Path:
    db = _opened(migrated(file))
    db.execute((_FOLDER / "log.sql").read_text(), {"events": events})
    db.execute(
        "INSERT INTO connection_state (connection_id, state, version, hash, changed_at, failures,"
        " in_doubt, position) SELECT connection_id, 'enqueued', version, hash, occurred_at, 0, 0,"
        " position FROM outbox WHERE version = 100"
    )
    db.execute("COMMIT")
    db.close()
    return file


async def _poll(file: Path) -> float:
    async with SqliteDatabase.open(file, "rw") as db:
        store = SqliteStore(db)
        await store.waiting(limit=500)
        started = time.perf_counter()
        for _ in range(POLLS):
            assert not await store.waiting(limit=500)
        return (time.perf_counter() - started) / POLLS


def _opened(file: Path) -> "Connection":
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -400000")
    db.execute("BEGIN")
    return db


ROWS: Final = (
    Row(
        "finding",
        "a tick with 100 due among 1,000,000 ÷ among 1,000",
        "at most",
        3,
        1.2,
        finding,
        "no trigger on the API worker's tables may say that a job or a grant has changed: ids in "
        "flight and waiting are merged, 0.4 µs each, and a dead grant's credentials read and "
        "hashed, 9 µs each",
    ),
    Row("polling", "relay poll in vain, 10,000,000 events ÷ 10,000", "at most", 1.5, 1.1, polling),
)
