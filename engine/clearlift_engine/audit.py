"""What must hold for one connection: its log, its projection and its jobs, side by side.

A row that breaks a rule is reported and then believed, as far as it goes, so that the rows after it
are judged by themselves: one changed byte is one finding or a few, not one for each row that comes
later. Only the projection is then left alone, because nobody can say any more what it ought to be.

What is compared is what the log explains. The consumer moves `sync_jobs.status` as it likes, within
its four words, and jobs that others made are theirs.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final, Literal, cast

import msgspec

from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.events import Event, FellDue, JobCreated, SyncJobMessage, decode
from clearlift_engine.jobs import is_ours, job_row
from clearlift_engine.machine import State
from clearlift_engine.ports import History, JobState
from clearlift_engine.stream import Entry, Stream, chain, evolve

Rule = Literal[
    "ascending_positions",  # within a stream
    "gapless_positions",  # over the whole log
    "contiguous_versions",  # 1, 2, 3 …
    "ascending_times",
    "hash_chain",
    "readable_data",
    "legal_transition",  # and `source` and `target` say the same
    "job_of_event",  # `job_id` is the job that the event is about
    "own_message",  # the message is about the stream's connection
    "one_job_per_id",
    "job_row",  # every job_created has its row, unless the connection is gone, with its values
    "job_status",  # one of the four words
    "explained_job",  # no row of ours without a job_created
    "one_open_job",
    "events_have_projection",
    "projection_has_events",
    "projection_is_fold",  # in every column
]

JOB_STATUSES: Final = frozenset({"pending", "running", "completed", "failed"})
OPEN_STATUSES: Final = frozenset({"pending", "running"})
_SHOWN_MAX: Final = 80  # Characters of a value in a finding; a column may hold megabytes.

Finding = Callable[[int | None, Rule, str], None]  # position, rule, detail


class Violation(msgspec.Struct, frozen=True):
    """One rule that does not hold, and where."""

    connection_id: str | None
    position: int | None
    rule: Rule
    detail: str


def audit(history: History, found: Finding) -> None:
    """Report each rule that one connection breaks."""
    jobs = _Jobs(history, found)
    end = _walk(history, jobs, found)
    jobs.compare()
    _compare_projection(history, end, found)


def _walk(history: History, jobs: "_Jobs", found: Finding) -> Stream | None:
    """Return the log, folded; None if it is too broken to say."""
    stream, position, sound = Stream(history.connection_id), 0, True
    for entry in history.entries:
        if entry.position <= position:
            found(entry.position, "ascending_positions", f"comes after position {position}")
        if entry.occurred_at < stream.changed_at:
            detail = f"at {entry.occurred_at}, after one at {stream.changed_at}"
            found(entry.position, "ascending_times", detail)
        if not _is_chained(stream.hash, entry):
            found(entry.position, "hash_chain", "hash is not that of this row after the one before")
        after = _follow(stream, entry, jobs, found)
        if entry.version != stream.version + 1:
            detail = f"version {entry.version} follows version {stream.version}"
            found(entry.position, "contiguous_versions", detail)
            after = None
        sound = sound and after is not None
        stream, position = after or _as_written(entry), entry.position
    return stream if sound else None


def _is_chained(previous: str | None, entry: Entry) -> bool:
    try:
        return chain(previous, entry) == entry.hash
    except UnicodeError:  # Half of a surrogate pair: no row of ours holds one.
        return False


def _follow(stream: Stream, entry: Entry, jobs: "_Jobs", found: Finding) -> Stream | None:
    """Return the stream after `entry`, or None if its event cannot be folded."""
    try:
        event = decode(entry.transition, entry.data)
        jobs.note(entry, event)
        after = evolve(stream, event, occurred_at=entry.occurred_at, digest=entry.hash)
    except (UnreadableEventError, UnicodeError) as exc:
        found(entry.position, "readable_data", str(exc))
        return None
    except IllegalTransitionError as exc:
        found(entry.position, "legal_transition", str(exc))
        return None
    if entry.source != stream.state or entry.target != after.state:
        says, does = (entry.source, entry.target), (stream.state, after.state)
        detail = f"{entry.transition} goes {_arrow(does)}, the row says {_arrow(says)}"
        found(entry.position, "legal_transition", detail)
    if entry.job_id != after.job_id:
        detail = f"the event is about {_shown(after.job_id)}, the row says {_shown(entry.job_id)}"
        found(entry.position, "job_of_event", detail)
    return after


def _as_written(entry: Entry) -> Stream:
    """Return as much of a stream as a row by itself tells, to go on from."""
    state = cast("State", entry.target)  # Where it is no state, no rule of the machine covers it.
    return Stream(
        entry.connection_id, state, entry.version, entry.hash, entry.occurred_at, entry.job_id
    )


def _compare_projection(history: History, end: Stream | None, found: Finding) -> None:
    projection = history.projection
    if not history.entries:
        if projection is not None:
            detail = f"connection_state says {_shown(projection.state)}, the log nothing"
            found(history.position, "projection_has_events", detail)
        return
    last = history.entries[-1].position
    if projection is None:
        found(last, "events_have_projection", "connection_state has no row for this stream")
        return
    if end is None:
        return
    if history.position != last:
        found(last, "projection_is_fold", _differs("position", last, history.position))
    if projection != end:
        _compare_columns("projection_is_fold", last, end, projection, found)


def _compare_columns(
    rule: Rule, position: int, ought: msgspec.Struct, found_there: msgspec.Struct, found: Finding
) -> None:
    for column in ought.__struct_fields__:
        a, b = cast("object", getattr(ought, column)), cast("object", getattr(found_there, column))
        if a != b:
            found(position, rule, _differs(column, a, b))


class _Jobs:
    """The `sync_jobs` rows of one connection, beside what its log says of them."""

    def __init__(self, history: History, found: Finding) -> None:
        self._rows: Mapping[str, JobState] = {row.id: row for row in history.jobs}
        self._may_be_missing = not history.connection_exists
        self._created: dict[str, int] = {}  # Job id: position; in the order of the log.
        self._given_up = 0  # How many of the first of them a later cycle has superseded.
        self._found = found

    def note(self, entry: Entry, event: Event) -> None:
        """Take in what an event says of a job."""
        match event:
            case JobCreated():
                self._note_created(entry, event.message)
            case FellDue(superseded_job_id=str()):
                # Named is the one whose last sign of life is the latest: if that is too long ago,
                # so is that of all, also of one that was created later and has not begun.
                self._given_up = len(self._created)
            case _:
                pass

    def _note_created(self, entry: Entry, message: SyncJobMessage) -> None:
        if message.connection_id != entry.connection_id:
            detail = f"the message is about {_shown(message.connection_id)}"
            self._found(entry.position, "own_message", detail)
        if message.job_id in self._created:
            detail = f"{message.job_id} was created at position {self._created[message.job_id]}"
            self._found(entry.position, "one_job_per_id", detail)
        self._created[message.job_id] = entry.position
        row = self._rows.get(message.job_id)
        if row is None:
            if not self._may_be_missing:
                self._found(entry.position, "job_row", f"sync_jobs has no row {message.job_id}")
            return
        ought = job_row(message, entry.run_id)
        if (
            row.organization_id != ought.organization_id
            or row.connection_id != ought.connection_id
            or row.job_type != ought.job_type
            or row.created_at != ought.created_at
            or row.metadata != ought.metadata
        ):
            _compare_columns("job_row", entry.position, ought, row, self._found)

    def compare(self) -> None:
        """Report what only shows when the whole log has been read."""
        still_open = 0
        for row in self._rows.values():
            position = self._created.get(row.id)
            if position is None:
                if not is_ours(row.metadata):
                    continue
                detail = f"sync_jobs has {row.id}, which no event created"
                self._found(None, "explained_job", detail)
            if row.status not in JOB_STATUSES:
                self._found(position, "job_status", f"{row.id} is {_shown(row.status)}")
            still_open += row.status in OPEN_STATUSES
        if still_open > 1:
            self._compare_open()

    def _compare_open(self) -> None:
        still_open = [
            (number, job_id)
            for number, job_id in enumerate(self._created)
            if job_id in self._rows and self._rows[job_id].status in OPEN_STATUSES
        ]
        for (number, older), (_, newer) in pairwise(still_open):
            if number >= self._given_up:
                detail = f"{older} was open when {newer} was created, and is still"
                self._found(self._created[newer], "one_open_job", detail)


def _differs(column: str, ought: object, found_there: object) -> str:
    return f"{column}: the log says {_shown(ought)}, the row {_shown(found_there)}"


def _arrow(ends: tuple[str | None, str | None]) -> str:
    return f"{_shown(ends[0])} → {_shown(ends[1])}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
