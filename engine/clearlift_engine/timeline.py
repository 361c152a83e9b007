"""The life of a connection in sentences: `timeline` and `replay CONNECTION` print them.

It reads what is there, sound or not: a row that cannot be decoded is a line that says so. Times are
`int`, milliseconds since 1970, UTC, in the fields, and ISO 8601 in the sentences.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import (
    DueReason,
    Event,
    FellDue,
    JobCreated,
    JobEnqueued,
    Paused,
    RefreshReleased,
    RefreshStarted,
    Resumed,
    RetryRequested,
    SyncFailed,
    decode,
)
from clearlift_engine.policy import iso
from clearlift_engine.ports import History
from clearlift_engine.stream import Entry


class TimelineLine(msgspec.Struct, frozen=True):
    """One row of the log, and in a sentence why it is there."""

    position: int
    occurred_at: int
    transition: str
    source: str | None
    target: str
    sentence: str


_WHY_DUE: Final[Mapping[DueReason, str]] = {
    "never_synced": "never synced before",
    "interval_elapsed": "its interval has passed",
    "retry": "the wait after its failure is over",
    "reconnected": "its credentials have changed since it failed",
}


def timeline(history: History) -> Sequence[TimelineLine]:
    """Return a line for each row of a connection's log, oldest first."""
    return lines(history.entries)


def lines(entries: Sequence[Entry]) -> Sequence[TimelineLine]:
    """Return a line for each of these rows."""
    return [
        TimelineLine(
            entry.position,
            entry.occurred_at,
            entry.transition,
            entry.source,
            entry.target,
            _read(entry),
        )
        for entry in entries
    ]


def _read(entry: Entry) -> str:
    try:
        return sentence(decode(entry.transition, entry.data))
    except UnreadableEventError as exc:
        return str(exc)


def sentence(event: Event) -> str:
    """Return in words what happened and why."""
    match event:
        case FellDue():
            text = _fell_due(event)
        case RefreshStarted():
            text = _refresh_started(event)
        case RefreshReleased():
            until = "" if event.until is None else f"; not before {iso(event.until)}"
            text = f"nothing decided, {_words(event.reason)}: {event.detail}{until}"
        case JobCreated():
            text = _job_created(event)
        case JobEnqueued():
            done = "found in" if event.already_delivered else "delivered to"
            receipt = "" if event.receipt is None else f" (receipt {event.receipt})"
            text = f"{done} {event.queue}{receipt}"
        case SyncFailed():
            text = _sync_failed(event)
        case _:
            text = _said(event)
    return text


def _said(event: Event) -> str:
    match event:
        case Paused():
            return f"paused by {event.by}: {event.reason}"
        case Resumed():
            return f"resumed by {event.by}: {event.reason}"
        case RetryRequested():
            why = "" if event.reason is None else f": {event.reason}"
            return f"retry requested by {event.by}{why}; due from {iso(event.retry_at)}"
        case _:
            raise AssertionError(event)


def _fell_due(event: FellDue) -> str:
    synced, job = event.last_synced_at, event.superseded_job_id
    last = "" if synced is None else f"; last synced {iso(synced)}"
    superseded = "" if job is None else f"; gives up job {job}, open for too long"
    return f"{_WHY_DUE[event.reason]}{last}{superseded}"


def _refresh_started(event: RefreshStarted) -> str:
    doubt = ""
    if event.in_doubt:
        doubt = f"; {event.in_doubt} before it with the same token had no answer"
    lease = f"to be sent {iso(event.send_at)}, given up {iso(event.lease_until)}"
    return f"token request to {event.provider}, {lease}{doubt}"


def _job_created(event: JobCreated) -> str:
    message, refresh = event.message, event.refresh
    window = f"{message.sync_window.start} → {message.sync_window.end}"
    token = ""
    if refresh is not None:
        ends = (
            "without expiry" if refresh.expires_at is None else f"until {iso(refresh.expires_at)}"
        )
        token = f"; new token from {refresh.provider}, {ends}"
    return f"job {message.job_id}, {message.job_type}, {window}, {message.metadata.priority}{token}"


def _sync_failed(event: SyncFailed) -> str:
    code = "" if event.code is None else f" ({event.code})"
    then = "not before it is reconnected"
    if event.retry_at is not None:
        then = f"retry at {iso(event.retry_at)}"
    return f"failed, {_words(event.failure_class)}: {event.message}{code}; {then}"


def _words(name: str) -> str:
    return name.replace("_", " ")
