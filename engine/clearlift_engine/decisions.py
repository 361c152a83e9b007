"""What one connection's next step changes, as a Commit. Pure: facts in, commit out.

A Step is a commit in the making: the stream as it was read, the stream as it will be, and the rows
of the log in between. Each function here takes a step one decision further.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from clearlift_engine.events import (
    Event,
    FailureClass,
    JobCreated,
    Refresh,
    RefreshReleased,
    RefreshStarted,
    ReleaseReason,
    SyncFailed,
    SyncJobMessage,
    decode,
)
from clearlift_engine.jobs import job_row
from clearlift_engine.policy import (
    MESSAGE_BYTES_MAX,
    MINUTE_MS,
    Candidate,
    Due,
    Schedule,
    backoff,
    expires_within,
    fell_due,
    message_for,
)
from clearlift_engine.ports import Commit, JobRow, Provider, Refused
from clearlift_engine.stream import Draft, Entry, Stream, evolve, record

REFRESH_FAILED: Final = "Token refresh failed: "
JOB_FAILED: Final = "Job could not be queued: "
TOO_LARGE: Final = "its ids are too long for a queue message"
STILL_LIVES_MS: Final = 5 * MINUTE_MS  # A token that lasts this long can carry one more job.

_ESCAPES_MAX: Final = 6  # Bytes of JSON that one character can become.
_REST_OF_MESSAGE: Final = 1_000  # More than the bytes of a message without its ids.

Outcome = Literal["job", "refreshed", "failed", "deferred", "claimed"]


class Step(msgspec.Struct, frozen=True):
    """A commit in the making."""

    conn: Candidate
    stream: Stream
    drafts: tuple[Draft, ...] = ()

    def then(self, event: Event, *, at_ms: int, run_id: str) -> "Step":
        """Return the step with one more event."""
        stream, draft = record(self.stream, event, at_ms=at_ms, run_id=run_id)
        return Step(self.conn, stream, (*self.drafts, draft))


class Decision(msgspec.Struct, frozen=True):
    """A commit, and what it means to the run that makes it."""

    commit: Commit
    outcome: Outcome
    failure_class: FailureClass | None = None
    message: str = ""
    job: SyncJobMessage | None = None  # What a queue is to get.


def opened(conn: Candidate, due: Due, *, at_ms: int, run_id: str) -> Step:
    """Return the step that brings a due connection to the state `due`, whatever it was in."""
    step = Step(conn, conn.stream)
    match conn.stream.state:
        case "refreshing":
            detail = "the worker that had claimed it did not come back"
            return step.then(
                RefreshReleased(
                    reason="lease_expired", detail=detail, provider=conn.platform, ambiguous=True
                ),
                at_ms=at_ms,
                run_id=run_id,
            )
        case "due":
            return step
        case _:
            return step.then(fell_due(conn, due), at_ms=at_ms, run_id=run_id)


def needs_refresh(
    conn: Candidate, provider: Provider | None, now_ms: int, schedule: Schedule
) -> bool:
    """Return whether the access token has to be replaced before a job is made."""
    if provider is not None and provider.rate is None:
        return False
    if conn.expires_at is None and not conn.expires_odd:
        return provider is not None and provider.without_expiry == "refresh"
    return expires_within(conn, now_ms, schedule.refresh_margin_ms)


def still_lives(conn: Candidate, now_ms: int) -> bool:
    """Return whether the token lasts for one more job, though it is due for a refresh."""
    return not expires_within(conn, now_ms, STILL_LIVES_MS)


def too_large(conn: Candidate) -> bool:
    """Return whether the message would exceed what a queue takes."""
    longest = (conn.connection_id, conn.organization_id, conn.platform, conn.account_id)
    if sum(map(len, longest)) * _ESCAPES_MAX < MESSAGE_BYTES_MAX - _REST_OF_MESSAGE:
        return False
    return len(msgspec.json.encode(longest)) > MESSAGE_BYTES_MAX - _REST_OF_MESSAGE


def job_created(
    step: Step,
    *,
    now_ms: int,
    at_ms: int,
    run_id: str,
    job_id: str,
    schedule: Schedule,
    refresh: Refresh | None = None,
) -> Decision:
    """End a step with a job: its window ends at `now_ms`, the event happens at `at_ms`."""
    message = message_for(step.conn, now_ms, job_id)
    done = step.then(JobCreated(message=message, refresh=refresh), at_ms=at_ms, run_id=run_id)
    commit = Commit(
        before=step.conn.stream,
        after=done.stream,
        drafts=done.drafts,
        job=job_row(message, run_id),
        open_since=now_ms - schedule.job_limit_ms,
        clears_error=step.stream.failures > 0,
    )
    return Decision(commit, "job" if refresh is None else "refreshed", job=message)


def claimed(
    step: Step,
    provider: str,
    *,
    send_at: int,
    lease_until: int,
    credentials: str,
    at_ms: int,
    run_id: str,
) -> Decision:
    """End a step with the claim of a refresh, to be written before the request leaves."""
    same = step.stream.credentials == credentials
    done = step.then(
        RefreshStarted(
            provider=provider,
            send_at=send_at,
            lease_until=lease_until,
            credentials=credentials,
            in_doubt=step.stream.in_doubt if same else 0,
        ),
        at_ms=at_ms,
        run_id=run_id,
    )
    return Decision(Commit(step.conn.stream, done.stream, done.drafts), "claimed")


def released(
    step: Step, reason: ReleaseReason, refused: Refused, *, at_ms: int, run_id: str
) -> Step:
    """Take a claimed step back to `due`: nothing was learnt about the connection."""
    until = None if refused.retry_after_ms is None else at_ms + refused.retry_after_ms
    event = RefreshReleased(
        reason=reason,
        detail=refused.message,
        provider=step.conn.platform,
        ambiguous=_in_doubt(step, refused),
        code=refused.code,
        latency_ms=refused.latency_ms if refused.asked else None,
        until=until,
    )
    return step.then(event, at_ms=at_ms, run_id=run_id)


def deferred(step: Step, message: str) -> Decision:
    """End a step as it stands: the connection stays due."""
    commit = Commit(step.conn.stream, step.stream, step.drafts)
    return Decision(commit, "deferred", message=message)


def refresh_failed(
    step: Step, refused: Refused, *, attempts: int, now_ms: int, at_ms: int, run_id: str
) -> Decision:
    """End a claimed step as failed: a transient failure waits, a dead grant waits for its user.

    The wait counts from `now_ms`, when the tick began: however long the tick takes, the first wait
    is over when the next one begins.
    """
    permanent = refused.failure_class == "permanent"
    wait = backoff(step.stream.failures + 1, _jitter(step.stream))
    event = SyncFailed(
        failure_class="permanent" if permanent else "transient",
        message=refused.message,
        retry_at=None if permanent else now_ms + wait,
        credentials=step.stream.credentials,
        ambiguous=refused.ambiguous if permanent else _in_doubt(step, refused),
        provider=step.conn.platform,
        code=refused.code,
        attempts=attempts,
        latency_ms=refused.latency_ms if refused.asked else None,
    )
    return _failed(step, event, at_ms=at_ms, run_id=run_id)


def cannot_be_served(
    step: Step, reason: str, *, provider: str | None = None, at_ms: int, run_id: str
) -> Decision:
    """End a step as failed because of what the row says; it is tried again after a backoff.

    With a `provider`, it is its refresh that cannot be made.
    """
    wait = backoff(step.stream.failures + 1, _jitter(step.stream))
    event = SyncFailed(
        failure_class="invalid", message=reason, retry_at=at_ms + wait, provider=provider
    )
    return _failed(step, event, at_ms=at_ms, run_id=run_id)


def sync_error(event: SyncFailed) -> str:
    """Return what the connection's users read in `sync_error`."""
    return (JOB_FAILED if event.provider is None else REFRESH_FAILED) + event.message


def is_same_work(before: Stream, now: Stream) -> bool:
    """Return whether nothing but an operator's word lies between the two, and the work goes on."""
    said = msgspec.structs.replace(
        before,
        version=now.version,
        hash=now.hash,
        changed_at=now.changed_at,
        paused_at=now.paused_at,
    )
    return before.state in ("refreshing", "job_created") and now == said


def on_top(commit: Commit, stream: Stream) -> Commit:
    """Return the same commit for a stream that has got longer meanwhile."""
    after, drafts = stream, list[Draft]()
    for draft in commit.drafts:
        event = decode(draft.transition, draft.data)
        after, again = record(after, event, at_ms=draft.occurred_at, run_id=draft.run_id)
        drafts.append(again)
    return msgspec.structs.replace(commit, before=stream, after=after, drafts=tuple(drafts))


def completion(before: Stream, entries: Sequence[Entry]) -> Commit:
    """Return what the log's rows after `before` explain: the rest of a commit done in part.

    Tokens are not in it: they are written before the log, just because they are nowhere in it.

    Raises:
        UnreadableEventError, IllegalTransitionError: the log is damaged; `replay` says where.
    """
    after = before
    job: JobRow | None = None
    error: str | None = None
    for entry in entries:
        event = decode(entry.transition, entry.data)
        after = evolve(after, event, occurred_at=entry.occurred_at, digest=entry.hash)
        match event:
            case JobCreated():
                job = job_row(event.message, entry.run_id)
            case SyncFailed():
                error = sync_error(event)
            case _:
                pass
    return Commit(
        before,
        after,
        (),
        job=job,
        sync_error=error,
        clears_error=job is not None and before.failures > 0,
    )


def _in_doubt(step: Step, refused: Refused) -> bool:
    """Return whether some request with these credentials, this one or one before, is unanswered."""
    return refused.ambiguous or step.stream.in_doubt > 1


def _failed(step: Step, event: SyncFailed, *, at_ms: int, run_id: str) -> Decision:
    done = step.then(event, at_ms=at_ms, run_id=run_id)
    commit = Commit(step.conn.stream, done.stream, done.drafts, sync_error=sync_error(event))
    return Decision(commit, "failed", event.failure_class, event.message)


def _jitter(stream: Stream) -> float:
    """Return a number in [0, 1) that differs between streams and needs no random source."""
    return int((stream.hash or "0")[:8], 16) / 2**32
