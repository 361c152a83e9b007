"""What operators say about one connection: pause, resume, retry. Each is an event with who and why.

None of them moves a state or begins anything: a tick, a refresh or a delivery that is under way
ends as it would, and its outcome goes on top (`committer.append`). A retry lets the next tick serve
what failed; it is refused where something else would keep that tick from it.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from clearlift_engine.decisions import Step
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import Event, Paused, Resumed, RetryRequested
from clearlift_engine.policy import Blocked, Candidate, Due, Schedule, assess, iso
from clearlift_engine.ports import Commit, Store
from clearlift_engine.preview import REASONS
from clearlift_engine.stream import Stream

ATTEMPTS: Final = 10  # Somebody else moves the connection between look and word.


Outcome = Literal["recorded", "already", "refused"]  # already: it is as the operator wants it.


class Answer(msgspec.Struct, frozen=True):
    """What came of an operator's word, and where the connection stands now."""

    connection_id: str
    outcome: Outcome
    detail: str
    stream: Stream


class Idle(msgspec.Struct, frozen=True):
    """Why there is nothing to record."""

    outcome: Literal["already", "refused"]
    detail: str


Say = Callable[[Candidate], Event | Idle]


async def pause(
    store: Store, connection_id: str, *, reason: str, by: str, at_ms: int, run_id: str
) -> Answer | None:
    """Leave a connection alone until it is resumed; None if there is no such connection."""

    def say(conn: Candidate) -> Event | Idle:
        if conn.stream.paused_at is not None:
            return Idle("already", f"it is paused already, since {iso(conn.stream.paused_at)}")
        return Paused(reason=reason, by=by)

    done = "paused: no tick serves it until it is resumed"
    return await _record(store, connection_id, say, done, at_ms=at_ms, run_id=run_id)


async def resume(
    store: Store, connection_id: str, *, reason: str, by: str, at_ms: int, run_id: str
) -> Answer | None:
    """Let a paused connection be served again; None if there is no such connection."""

    def say(conn: Candidate) -> Event | Idle:
        if conn.stream.paused_at is None:
            return Idle("already", "it is not paused")
        return Resumed(reason=reason, by=by)

    done = "resumed"
    return await _record(store, connection_id, say, done, at_ms=at_ms, run_id=run_id)


async def retry(
    store: Store,
    connection_id: str,
    *,
    schedule: Schedule,
    reason: str | None,
    by: str,
    at_ms: int,
    run_id: str,
) -> Answer | None:
    """Make a failed connection due at the next tick; None if there is no such connection."""

    def say(conn: Candidate) -> Event | Idle:
        event = RetryRequested(retry_at=at_ms, by=by, reason=reason)
        return nothing_to_retry(conn, event, at_ms, schedule) or event

    done = "the next tick tries it again"
    return await _record(store, connection_id, say, done, at_ms=at_ms, run_id=run_id)


def nothing_to_retry(
    conn: Candidate, event: RetryRequested, now_ms: int, schedule: Schedule
) -> Idle | None:
    """Return why a retry would change nothing; None if it would."""
    found = assess(conn, now_ms, schedule)
    if isinstance(found, Due):
        return Idle("already", "it is due already: the next tick serves it")
    if found.clause in ("backoff", "needs_reconnect"):
        after = Step(conn, conn.stream).then(event, at_ms=now_ms, run_id="").stream
        found = assess(msgspec.structs.replace(conn, stream=after), now_ms, schedule)
    return None if isinstance(found, Due) else Idle("refused", f"nothing to retry: {_why(found)}")


def _why(blocked: Blocked) -> str:
    until = "" if blocked.until is None else f", until {iso(blocked.until)} at the latest"
    return f"{REASONS[blocked.clause]}{until}"


async def _record(
    store: Store, connection_id: str, say: Say, done: str, *, at_ms: int, run_id: str
) -> Answer | None:
    for _ in range(ATTEMPTS):
        found = await store.find([connection_id])
        if not found:
            return None
        [conn] = found
        said = say(conn)
        if isinstance(said, Idle):
            return Answer(connection_id, said.outcome, said.detail, conn.stream)
        step = Step(conn, conn.stream).then(said, at_ms=at_ms, run_id=run_id)
        appended = await store.append([Commit(conn.stream, step.stream, step.drafts)])
        why = appended.refused.get(connection_id)
        if why is not None:
            return Answer(connection_id, "refused", f"the database refuses it: {why}", conn.stream)
        if connection_id not in appended.lost:
            return Answer(connection_id, "recorded", done, step.stream)
    raise UnavailableError(f"others keep moving {connection_id!r}: try again")
