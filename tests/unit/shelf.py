"""A small log on a shelf, with its projection and jobs, for tests to damage.

Flat tables, as in a database: a row whose connection id is changed turns up in another stream.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec

from clearlift_engine.audit import Rule
from clearlift_engine.events import Event, FellDue, JobCreated
from clearlift_engine.jobs import job_row
from clearlift_engine.ports import Fold, History, JobState
from clearlift_engine.replay import ReplayReport
from clearlift_engine.stream import Entry, Stream, record
from tests.unit import lives
from tests.unit.lives import NOW_MS, RUN

ACME, BETA, GAMMA = "acme-google-1", "beta-tiktok-2", "gamma-stripe-3"


def created(job_id: str, connection_id: str) -> JobCreated:
    return JobCreated(message=lives.message(job_id, connection_id))


SUPERSEDING: Final = FellDue(
    reason="interval_elapsed", last_synced_at=NOW_MS, superseded_job_id="job-1"
)
# The second job of ACME superseded the first, which is open still; that of GAMMA is done.
HAPPENED: Final = (
    (ACME, lives.DUE),
    (BETA, lives.DUE),
    (ACME, created("job-1", ACME)),
    (BETA, lives.STARTED),
    (GAMMA, lives.DUE),
    (ACME, lives.ENQUEUED),
    (GAMMA, created("job-3", GAMMA)),
    (ACME, SUPERSEDING),
    (BETA, lives.FAILED),
    (ACME, lives.STARTED),
    (GAMMA, lives.ENQUEUED),
    (ACME, created("job-2", ACME)),
)


def changed(value: str | int | None) -> str | int:
    """Return the value with its last byte, or itself, another one."""
    match value:
        case None:
            return "x"
        case int():
            return value + 1
        case str():
            return value[:-1] + ("x" if value[-1] != "x" else "y")


def broken(report: ReplayReport) -> set[tuple[str | None, int | None, Rule]]:
    """Return where which rule does not hold."""
    return {(found.connection_id, found.position, found.rule) for found in report.violations}


def rules(report: ReplayReport) -> set[Rule]:
    """Return which rules do not hold, wherever that is."""
    return {found.rule for found in report.violations}


class Shelf:
    """The port Archive over lists."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.projections: dict[str, tuple[Stream, int]] = {}
        self.jobs: list[JobState] = []
        self.deleted: set[str] = set()  # Connections that the API worker has removed.
        self.highest = 0  # Position ever given out.
        for connection_id, event in HAPPENED:
            self.append(connection_id, event)
        self.edit_job("job-3", status="completed")

    def append(self, connection_id: str, event: Event, run_id: str = RUN) -> None:
        """Do what a tick or a relay does in one transaction."""
        stream, _ = self.projections.get(connection_id, (Stream(connection_id), 0))
        self.highest += 1
        stream, draft = record(stream, event, at_ms=NOW_MS + self.highest, run_id=run_id)
        self.entries.append(Entry(self.highest, *msgspec.structs.astuple(draft)))
        self.projections[connection_id] = stream, self.highest
        if isinstance(event, JobCreated):
            row = msgspec.structs.asdict(job_row(event.message, run_id))
            self.jobs.append(JobState(status="pending", **row))

    def edit_entry(self, position: int, /, **columns: object) -> None:
        """Change a row of the log behind everybody's back."""
        self.entries = [
            msgspec.structs.replace(row, **columns) if row.position == position else row
            for row in self.entries
        ]

    def edit_projection(self, connection_id: str, **columns: object) -> None:
        """Change a row of connection_state behind everybody's back."""
        stream, position = self.projections[connection_id]
        stream = msgspec.structs.replace(stream, **columns)
        self.projections[connection_id] = stream, position

    def edit_job(self, job_id: str, **columns: object) -> None:
        """Change a row of sync_jobs, as its consumer may and others may not."""
        self.jobs = [
            msgspec.structs.replace(row, **columns) if row.id == job_id else row
            for row in self.jobs
        ]

    async def histories(
        self, connection_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[History]:
        known = set(self.projections)
        known.update(row.connection_id for row in self.entries)
        known.update(row.connection_id for row in self.jobs)
        for connection_id in sorted(known, key=str.encode):
            if connection_ids is None or connection_id in connection_ids:
                yield self.history(connection_id)

    def history(self, connection_id: str) -> History:
        """Return all there is about one connection."""
        mine = [row for row in self.entries if row.connection_id == connection_id]
        stream, position = self.projections.get(connection_id, (None, None))
        return History(
            connection_id,
            sorted(mine, key=lambda row: row.version),
            stream,
            position,
            [row for row in self.jobs if row.connection_id == connection_id],
            connection_id not in self.deleted,
        )

    async def positions(self) -> tuple[int, int]:
        return len(self.entries), max([self.highest, *(row.position for row in self.entries)])

    async def rebuild(self, fold: Fold) -> int:
        streams = sorted({row.connection_id for row in self.entries})
        histories = [self.history(connection_id).entries for connection_id in streams]
        self.projections = {
            entries[0].connection_id: (fold(entries), entries[-1].position) for entries in histories
        }
        return len(streams)
