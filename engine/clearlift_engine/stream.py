"""One connection's events, folded and chained.

`evolve` is the only code that moves a projection: tick, relay and replay all go through it.
`record` is the only code that makes a row of the log.

The chain. A row's hash is SHA-256, in lower-case hex, over the UTF-8 bytes of this JSON array,
written without spaces, strings escaped only where JSON demands it, absent values as null:

    [1, previous hash or null, connection_id, version, transition, source, target,
     occurred_at, run_id, job_id, data]

1 is the version of the encoding. `data` goes in as the string that the column holds, not as the
object it spells, so not one byte of it can change unseen. `position` is not in it, for the database
gives it out after the hash is made: positions are checked by being without a gap.
"""

from hashlib import sha256
from typing import Final, cast

import msgspec

from clearlift_engine.events import (
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
    encode,
)
from clearlift_engine.machine import State, Transition, advance

CHAIN_VERSION: Final = 1
_ENCODER: Final = msgspec.json.Encoder()


class Stream(msgspec.Struct, frozen=True, gc=False):
    """Where a connection stands: its events, folded. Column for column as in connection_state."""

    connection_id: str
    state: State | None = None  # None: nothing has happened yet.
    version: int = 0
    hash: str | None = None  # Of the newest event.
    changed_at: int = 0
    job_id: str | None = None  # Of the newest cycle.
    lease_until: int | None = None  # While refreshing.
    retry_at: int | None = None  # While failed; None there: not before the credentials change.
    failures: int = 0  # Since the last job. Above 0: sync_status and sync_error are ours.
    credentials: str | None = None  # Fingerprint last sent; known dead if failed without retry_at.
    in_doubt: int = 0  # Requests sent with `credentials` whose answer nobody saw.
    paused_at: int | None = None  # None: no operator has paused it, or one has resumed it since.


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A row of the log before the database gives it its position."""

    connection_id: str
    version: int
    transition: Transition
    source: State | None
    target: State
    occurred_at: int
    run_id: str
    job_id: str | None
    data: str
    hash: str


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A row of the log as it was read: any column may have been tampered with."""

    position: int
    connection_id: str
    version: int
    transition: str
    source: str | None
    target: str
    occurred_at: int
    run_id: str
    job_id: str | None
    data: str
    hash: str


def chain(previous: str | None, row: Draft | Entry) -> str:
    """Return the hash that `row` must have after a row with the hash `previous`."""
    return _digest(
        (
            CHAIN_VERSION,
            previous,
            row.connection_id,
            row.version,
            row.transition,
            row.source,
            row.target,
            row.occurred_at,
            row.run_id,
            row.job_id,
            row.data,
        )
    )


def record(stream: Stream, event: Event, *, at_ms: int, run_id: str) -> tuple[Stream, Draft]:
    """Return the stream after `event`, and the row that says so.

    The row is never older than the one before it, whatever the clocks of two machines say.

    Raises:
        IllegalTransitionError: the machine does not allow `event` here.
    """
    after = evolve(stream, event, occurred_at=max(at_ms, stream.changed_at), digest="")
    row = (
        stream.connection_id,
        after.version,
        event.transition,
        stream.state,
        cast("State", after.state),
        after.changed_at,
        run_id,
        after.job_id,
        encode(event),
    )
    digest = _digest((CHAIN_VERSION, stream.hash, *row))
    return msgspec.structs.replace(after, hash=digest), Draft(*row, digest)


def evolve(stream: Stream, event: Event, *, occurred_at: int, digest: str) -> Stream:
    """Return the stream with one event folded in.

    Raises:
        IllegalTransitionError: the machine does not allow `event` here.
    """
    target = advance(stream.state, event.transition)
    credentials, in_doubt = stream.credentials, stream.in_doubt
    job_id: str | None = stream.job_id  # No other one, until the next cycle.
    failures, lease_until, retry_at = stream.failures, None, None
    paused_at = stream.paused_at
    match event:  # In the order of how many there are: each case that does not fit takes time.
        case FellDue():
            job_id = None
        case JobEnqueued():
            pass
        case JobCreated():
            job_id, failures = event.message.job_id, 0
            # Without a refresh, what was in doubt still is.
            credentials, in_doubt = (None, 0) if event.refresh else (credentials, in_doubt)
        case RefreshStarted():
            job_id, lease_until = None, event.lease_until
            credentials, in_doubt = event.credentials, event.in_doubt + 1
        case RefreshReleased():
            job_id, in_doubt = None, in_doubt if event.ambiguous else 0
        case SyncFailed():
            failures, retry_at = failures + 1, event.retry_at
            credentials, in_doubt = event.credentials, in_doubt if event.ambiguous else 0
        case Paused():
            lease_until, retry_at, paused_at = stream.lease_until, stream.retry_at, occurred_at
        case Resumed():
            lease_until, retry_at, paused_at = stream.lease_until, stream.retry_at, None
        case RetryRequested():
            retry_at = event.retry_at
        case _:
            pass
    return Stream(
        stream.connection_id,
        target,
        stream.version + 1,
        digest,
        occurred_at,
        job_id,
        lease_until,
        retry_at,
        failures,
        credentials,
        in_doubt,
        paused_at,
    )


def _digest(columns: tuple[str | int | None, ...]) -> str:
    return sha256(_ENCODER.encode(columns)).hexdigest()
