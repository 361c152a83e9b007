"""Floor A: a plain sqlite3 program that writes the very rows that `tick --relay` wrote.

Run as a process: `python -m tests.benchmarks.floor WRITTEN EMPTY BATCH`. It reads the rows from the
database WRITTEN, then writes them into EMPTY, which holds the connections and the schema with its
indexes and triggers: the same journal, the same durability, transactions of the same size, the rows
built beforehand. Prints the seconds that the writing took, wall and processor.
"""

import sys
import time
from typing import Any, Final, NamedTuple

from clearlift_adapters.stores.library import sqlite3

_ENTRIES: Final = (
    "SELECT connection_id, version, transition, source, target, occurred_at, run_id, job_id, data,"
    " hash FROM outbox ORDER BY position"
)
_JOBS: Final = (
    "SELECT id, organization_id, connection_id, job_type, created_at, metadata FROM sync_jobs"
    " ORDER BY rowid"
)
_MESSAGES: Final = "SELECT job_id, body, enqueued_at, visible_at FROM queue_messages ORDER BY rowid"
_APPEND: Final = (
    "INSERT INTO outbox (connection_id, version, transition, source, target, occurred_at, run_id,"
    " job_id, data, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PROJECT: Final = (
    "INSERT INTO connection_state (connection_id, state, version, hash, changed_at, job_id,"
    " failures, in_doubt, position) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?)"
    " ON CONFLICT (connection_id) DO UPDATE SET state = excluded.state, version = excluded.version,"
    " hash = excluded.hash, changed_at = excluded.changed_at, job_id = excluded.job_id,"
    " position = excluded.position"
)
_JOB: Final = (
    "INSERT INTO sync_jobs (id, organization_id, connection_id, job_type, created_at, metadata)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_MESSAGE: Final = (
    "INSERT INTO queue_messages (job_id, body, enqueued_at, visible_at) VALUES (?, ?, ?, ?)"
)
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = EXTRA",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA cache_size = -8000",
    "PRAGMA wal_autocheckpoint = 4000",
)

Row = tuple[Any, ...]


class Written(NamedTuple):
    """The rows that `tick --relay` wrote; those of the log have their positions in front."""

    entries: list[Row]
    jobs: list[Row]
    messages: list[Row]

    @property
    def per_job(self) -> int:
        """Return how many rows of the log were written for each job."""
        return len(self.entries) // len(self.jobs)

    def batch(self, start: int, size: int) -> "Written":
        """Return what one transaction wrote."""
        end, per_job = start + size, self.per_job
        entries = self.entries[start * per_job : end * per_job]
        return Written(entries, self.jobs[start:end], self.messages[start:end])


def read(written: str) -> Written:
    """Return what is to be written again."""
    source = sqlite3.connect(written)
    entries = [(position, *row) for position, row in enumerate(source.execute(_ENTRIES), start=1)]
    jobs = source.execute(_JOBS).fetchall()
    messages = source.execute(_MESSAGES).fetchall()
    source.close()
    return Written(entries, jobs, messages)


def opened(file: str) -> "sqlite3.Connection":
    """Open a database as the worker does."""
    target = sqlite3.connect(file, isolation_level=None)
    for pragma in _PRAGMAS:
        target.execute(pragma)
    return target


def main(written: str, empty: str, batch: int) -> None:
    """Copy what one program wrote as fast as another can."""
    rows, target = read(written), opened(empty)
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(rows.jobs), batch):
        write(target, rows.batch(start, batch))
    sys.stdout.write(f"{time.perf_counter() - wall} {time.process_time() - cpu}\n")
    target.close()


def write(target: "sqlite3.Connection", rows: Written) -> None:
    """Write one transaction: rows of the log, the projection, jobs and messages."""
    newest = rows.entries[rows.per_job - 1 :: rows.per_job]
    target.execute("BEGIN IMMEDIATE")
    target.executemany(_APPEND, [entry[1:] for entry in rows.entries])
    target.executemany(
        _PROJECT,
        [(row[1], row[5], row[2], row[10], row[6], row[8], row[0]) for row in newest],
    )
    target.executemany(_JOB, rows.jobs)
    target.executemany(_MESSAGE, rows.messages)
    target.execute("COMMIT")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
