"""What operators ask again and again: about jobs, failures, runs, and one connection's life.

Each is one question to the database, whose statement they may take elsewhere. Times are `int`,
milliseconds since 1970, UTC; a time of a shared table that cannot be read as one is None.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from clearlift_engine.machine import State
from clearlift_engine.overview import RunFact
from clearlift_engine.stream import Entry

WRITTEN_LATE: Final = 1_000  # So many jobs may be written after a newer one: clocks differ.


class JobFact(msgspec.Struct, frozen=True):
    """A row of `sync_jobs`, whoever wrote it, and whose it is."""

    id: str | None
    connection_id: str | None
    platform: str | None  # None: the connection was deleted since.
    account_name: str | None
    status: str | None
    job_type: str | None
    created_at: int | None
    started_at: int | None
    completed_at: int | None
    records_synced: int | None
    error: str | None


class JobCount(msgspec.Struct, frozen=True):
    """How many jobs of a period have a status."""

    status: str | None
    jobs: int


class Failing(msgspec.Struct, frozen=True):
    """A connection that failed in a period: how often, the newest of it, and where it is now."""

    connection_id: str
    platform: str | None  # None: it was deleted since.
    account_name: str | None
    failures: int
    failed_at: int
    data: str  # Of the newest failure, JSON: a SyncFailed.
    state: State | None
    retry_at: int | None  # While failed; None there: its user must reconnect.
    paused_at: int | None


class Spent(msgspec.Struct, frozen=True):
    """What the runs of a period add up to."""

    runs: int
    unfinished: int  # Still at work, or killed.
    not_done: int  # That ended in any other way than `done`.
    failed: int  # Connections.
    duration_ms: int
    cpu_ms: int  # Of those that measured it.


class Runs(msgspec.Struct, frozen=True):
    """The newest runs of a period, newest first, and what all of them add up to."""

    found: Sequence[RunFact]
    total: Spent


class Questions(Protocol):
    """The tables and the log, as operators ask about them; answers are bounded by `limit`."""

    async def recent_jobs(self, *, limit: int) -> Sequence[JobFact]:
        """Return the newest jobs, newest first; those without a readable time come last.

        They are looked for among the `limit` + WRITTEN_LATE that were written last.
        """
        ...

    async def jobs_by_status(self, *, since_ms: int) -> Sequence[JobCount]:
        """Return how many jobs were created since then, by status, in the order of the words."""
        ...

    async def jobs(self, job_ids: Sequence[str]) -> Sequence[JobFact]:
        """Return these jobs, in any order, without those that are gone."""
        ...

    async def failures(self, *, since_ms: int, more_than: int, limit: int) -> Sequence[Failing]:
        """Return the connections that failed more than so many times since then, by the log.

        Those that failed most often come first, and then those that failed last.
        """
        ...

    async def runs(self, *, since_ms: int, command: str | None, limit: int) -> Runs:
        """Return the runs, or those of one command, that began since then."""
        ...

    async def life(self, connection_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the rows of a connection's log after a version, oldest first."""
        ...
