"""A database in which nothing is to be done: a run leaves its own record, and no byte more.

The pages that were written are read from SQLite's write-ahead log, where each is named.
"""

import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection as Sqlite
from typing import Any, Final

import pytest

from clearlift_adapters.stores.library import sqlite3, wal_is_safe
from clearlift_engine.policy import HOUR_MS
from tests.trouble.scene import LATER_MS, Scene

CONNECTIONS: Final = 10_000
KINDS: Final = (
    5  # With open jobs, or one that is done; some paused, some inactive, ten without grant.
)
_HEADER: Final = 32  # Bytes of the log's head.
_FRAME: Final = 24  # Bytes before each page in it, the first four of which say which page.

Tables = Mapping[str, Sequence[Any]]

POPULATE: Final = """
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
INSERT INTO platform_connections (
  id, organization_id, platform, account_id, connected_by, credentials_encrypted, expires_at,
  is_active
)
SELECT
  'c' || i, 'org' || (i % 97), iif(i % 1000 = 2, 'google', 'stripe'), i, 'user', 'sealed ' || i,
  '2026-10-10 11:00:00', i % 5 <> 4
FROM n
"""
ORGANIZATIONS: Final = """
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 96)
INSERT INTO organizations (id) SELECT 'org' || i FROM n
"""
JOBS_DONE: Final = """
UPDATE sync_jobs SET status = 'completed' WHERE CAST(substr(connection_id, 2) AS INTEGER) % 5 = 1
"""
SYNCED: Final = """
UPDATE platform_connections SET last_synced_at = '2026-10-10T12:30:00Z'
WHERE CAST(substr(id, 2) AS INTEGER) % 5 = 1
"""


@pytest.fixture
def raw(scene: Scene) -> Iterator[Sqlite]:
    """Open the file beside the program, so that its log stays until it was read."""
    with closing(sqlite3.connect(scene.file, isolation_level=None)) as db:
        yield db


def settle(scene: Scene, db: Sqlite) -> None:
    """Serve ten thousand once, some of which cannot be, and finish some of the jobs."""
    for statement in (ORGANIZATIONS, POPULATE):
        db.execute(statement)
    scene.done("tick", "--relay")
    for number in range(3, 30, KINDS):
        scene.done("pause", f"c{number}", "--reason", "a reason")
    for statement in (JOBS_DONE, SYNCED):
        db.execute(statement)


def everything(db: Sqlite) -> Tables:
    """Return every row of every table but `runs`."""
    names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'runs'")
    return {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names.fetchall()}


@contextmanager
def watched(db: Sqlite, file: Path) -> Generator[set[int]]:
    """Yield a set that holds the numbers of the pages which were written in the block."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    pages = set[int]()
    yield pages
    log = Path(f"{file}-wal").read_bytes()
    [(page_size,)] = db.execute("PRAGMA page_size")
    for frame in range(_HEADER, len(log), _FRAME + page_size):
        pages |= set(struct.unpack_from(">I", log, frame))


def of_runs(db: Sqlite) -> set[int]:
    """Return the pages where `runs` and its indexes begin; while they are short, they end there."""
    roots = db.execute("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'runs' AND rootpage")
    return {page for (page,) in roots.fetchall()}


def test_nothing_is_written_where_nothing_is_to_be_done(scene: Scene, raw: Sqlite) -> None:
    settle(scene, raw)
    db_size, before = raw.execute("PRAGMA page_count").fetchall(), everything(raw)
    raw.execute("DELETE FROM runs")

    with watched(raw, scene.file) as pages:
        tick = scene.done("tick", "--json", now_ms=LATER_MS - HOUR_MS // 2)
        relay = scene.done("relay", "--drain", "--json", now_ms=LATER_MS - HOUR_MS // 2)

    assert (tick.json["due"], relay.json["delivered"], relay.json["pending"]) == (0, 0, 0)
    assert everything(raw) == before
    assert raw.execute("PRAGMA page_count").fetchall() == db_size
    assert not wal_is_safe() or set[int]() < pages <= of_runs(raw)
    assert len(before["platform_connections"]) > CONNECTIONS
    assert {row[1] for row in before["connection_state"]} == {"enqueued", "failed"}
