"""One connection's log in turns: when it fell due, what came of it, and what became of the job.

Of the past: which row of `sync_jobs` was open then, and what else can be told of a row as it was.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import Event, FellDue, JobCreated, decode
from clearlift_engine.policy import Candidate, Clause
from clearlift_engine.questions import JobFact
from clearlift_engine.stream import Entry, Stream
from clearlift_engine.timeline import TimelineLine, lines

OPERATORS: Final = ("paused", "resumed", "retry_requested")  # Their words end no cycle.
E = TypeVar("E", bound=Event)


class Cycle(msgspec.Struct, frozen=True):
    """One turn of a connection, from falling due to its end, and what became of its job."""

    began_at: int
    because: str
    job_id: str | None
    state: str  # Where it ended, or stands.
    ended_at: int
    sentence: str  # What its newest row says.
    job: JobFact | None = None


def cycles(entries: Sequence[Entry], jobs: Sequence[JobFact]) -> Sequence[Cycle]:
    """Return the cycles that begin among these rows, newest first."""
    by_id = {job.id: job for job in jobs}
    found: list[Cycle] = []
    for entry, line in zip(entries, lines(entries), strict=True):
        at_ms, target = line.occurred_at, line.target
        if entry.transition == FellDue.transition:
            found.append(Cycle(at_ms, line.sentence, None, target, at_ms, line.sentence))
        elif found and entry.transition not in OPERATORS:
            found[-1] = _continued(found[-1], entry, line, by_id)
    return found[::-1]


def _continued(
    cycle: Cycle, entry: Entry, line: TimelineLine, jobs: Mapping[str | None, JobFact]
) -> Cycle:
    job_id = entry.job_id or cycle.job_id
    return msgspec.structs.replace(
        cycle,
        job_id=job_id,
        state=line.target,
        ended_at=line.occurred_at,
        sentence=line.sentence,
        job=None if job_id is None else jobs.get(job_id),
    )


def newest(entries: Sequence[Entry], wanted: type[E]) -> E | None:
    """Return the newest event of a kind among these rows; None if it cannot be read either."""
    for entry in reversed(entries):
        if entry.transition == wanted.transition:
            try:
                event = decode(entry.transition, entry.data)
            except UnreadableEventError:
                return None
            return event if isinstance(event, wanted) else None
    return None


def happened_at(entries: Sequence[Entry], wanted: type[Event]) -> int | None:
    """Return when the newest event of a kind among these rows happened."""
    times = (entry.occurred_at for entry in entries if entry.transition == wanted.transition)
    return max(times, default=None)


def job_ids(entries: Sequence[Entry]) -> Sequence[str]:
    """Return the jobs that these rows name."""
    return list(dict.fromkeys(entry.job_id for entry in entries if entry.job_id is not None))


class Past(msgspec.Struct, frozen=True):
    """A connection as it was, and which clauses about its row the log could answer."""

    conn: Candidate
    recorded: frozenset[Clause] = frozenset()


def as_of(
    conn: Candidate,
    stream: Stream,
    entries: Sequence[Entry],
    jobs: Sequence[JobFact],
    *,
    at_ms: int,
) -> Past:
    """Return what is known of a connection at a moment of the past.

    `conn` is today's, `stream` its log's fold up to then, `entries` its newest rows up to then, and
    `jobs` what `sync_jobs` says of them today.
    """
    made, fell = newest(entries, JobCreated), newest(entries, FellDue)
    job = _open_at(jobs, at_ms)
    synced_at, expires_at = conn.last_synced_at, conn.expires_at
    recorded = frozenset[Clause]()
    if synced_at is not None and synced_at > at_ms:  # Written since.
        synced_at = None if fell is None else fell.last_synced_at
        recorded = frozenset(("future", "fresh"))
    if made is not None and made.refresh is not None:
        expires_at = made.refresh.expires_at
    past = msgspec.structs.replace(
        conn,
        stream=stream,
        reconnected=False,  # If it was, the next tick said so; until then nobody knew.
        last_synced_at=synced_at,
        expires_at=expires_at,
        moved_at=_moved_at(entries),
        expires_odd=conn.expires_odd and expires_at is None,
        job_id=None if job is None else job.id,
        job_since=None if job is None else max(job.created_at or 0, _until(job.started_at, at_ms)),
    )
    return Past(past, recorded)


def _moved_at(entries: Sequence[Entry]) -> int | None:
    times = (entry.occurred_at for entry in entries if entry.transition not in OPERATORS)
    return max(times, default=None)


def _open_at(jobs: Sequence[JobFact], at_ms: int) -> JobFact | None:
    """Return the newest job that was open at a moment, so far as its row tells."""
    open_then = [
        job
        for job in jobs
        if job.created_at is not None
        and job.created_at <= at_ms
        and (
            job.status in ("pending", "running")
            if job.completed_at is None
            else job.completed_at > at_ms
        )
    ]
    return max(open_then, key=lambda job: job.created_at or 0, default=None)


def _until(ms: int | None, at_ms: int) -> int:
    return ms if ms is not None and ms <= at_ms else 0
