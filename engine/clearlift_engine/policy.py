"""When a connection is due, what its job covers, how long a failure waits. Pure functions.

A store may narrow down what it reads, but whether a connection is due is decided here, on the facts
of a Candidate, one clause at a time: what `tick` decides, `tick --dry-run` and `explain` can say.
Times are `int`, milliseconds since 1970, UTC.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

import msgspec

from clearlift_engine.events import (
    DueReason,
    FellDue,
    MessageMetadata,
    SyncJobMessage,
    SyncWindow,
)
from clearlift_engine.stream import Stream

MINUTE_MS: Final = 60 * 1000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

FIRST_WINDOW_MS: Final = 7 * DAY_MS
FIRST_BACKOFF_MS: Final = 15 * MINUTE_MS  # One tick interval: at most, so the next tick retries.
LONGEST_BACKOFF_MS: Final = 6 * HOUR_MS
# What lies further ahead than it can was set by a clock that was wrong, and does not count.
RETRY_MAX_MS: Final = 2 * LONGEST_BACKOFF_MS
LEASE_MAX_MS: Final = HOUR_MS
# 128 KB of Cloudflare Queues, less what it adds to each message and counts; the same everywhere.
MESSAGE_BYTES_MAX: Final = 128_000 - 100

Clause = Literal[
    "inactive",
    "paused",
    "in_outbox",
    "refreshing",
    "needs_reconnect",
    "backoff",
    "open_job",
    "syncing",
    "future",
    "fresh",
]


class Schedule(msgspec.Struct, frozen=True):
    """The settings that the due rule depends on."""

    interval_ms: int = HOUR_MS  # Of a connection that has none of its own.
    job_limit_ms: int = 4 * DAY_MS  # An open job older than this is dead.
    refresh_margin_ms: int = 5 * MINUTE_MS


class Candidate(msgspec.Struct, frozen=True):
    """All that is known of one connection when its next step is decided; no credentials."""

    connection_id: str
    organization_id: str
    platform: str
    account_id: str
    is_active: bool
    sync_status: str | None
    last_synced_at: int | None
    last_synced_odd: bool  # Something stood there that is no time; it counts as never.
    expires_at: int | None
    expires_odd: bool  # Something stood there that is no time; it counts as expired.
    connected_at: int | None
    interval_ms: int | None  # Its own; None: the schedule's.
    job_id: str | None  # Newest open job, whoever made it.
    job_since: int | None  # When that job was created or started, whichever is later.
    reconnected: bool  # Its credentials are not those that were found dead.
    stream: Stream
    scopes_odd: bool = False  # Not JSON. Nothing here reads scopes, but somebody will.
    ref: int = 0  # What Plan calls it.
    # While syncing: when its stream last moved by anything but an operator's word; 0: never.
    moved_at: int | None = None


class Blocked(msgspec.Struct, frozen=True):
    """Not due: the first clause that says no, and until when, if that is known."""

    clause: Clause
    until: int | None = None


class Due(msgspec.Struct, frozen=True):
    """Due: why, and the open job that is given up for it, if any."""

    reason: DueReason
    superseded_job_id: str | None = None


def assess(conn: Candidate, now_ms: int, schedule: Schedule) -> Due | Blocked:
    """Return whether `conn` is due, clause by clause."""
    for says_no in _CLAUSES.values():
        blocked = says_no(conn, now_ms, schedule)
        if blocked is not None:
            return blocked
    return _due(conn)


def verdicts(conn: Candidate, now_ms: int, schedule: Schedule) -> Mapping[Clause, Blocked | None]:
    """Return what each clause says, in their order; `assess` goes by the first that says no."""
    return {clause: says_no(conn, now_ms, schedule) for clause, says_no in _CLAUSES.items()}


def due_at(conn: Candidate, now_ms: int, schedule: Schedule) -> int | None:
    """Return when time alone makes `conn` due, at the latest; None if it takes more than time."""
    blocked = [each for each in verdicts(conn, now_ms, schedule).values() if each is not None]
    untils = [each.until for each in blocked if each.until is not None]
    return max([now_ms, *untils]) if len(untils) == len(blocked) else None


def _inactive(conn: Candidate, _now_ms: int, _schedule: Schedule) -> Blocked | None:
    return None if conn.is_active else Blocked("inactive")


def _paused(conn: Candidate, _now_ms: int, _schedule: Schedule) -> Blocked | None:
    return None if conn.stream.paused_at is None else Blocked("paused")


def _in_outbox(conn: Candidate, _now_ms: int, _schedule: Schedule) -> Blocked | None:
    return Blocked("in_outbox") if conn.stream.state == "job_created" else None


def _refreshing(conn: Candidate, now_ms: int, _schedule: Schedule) -> Blocked | None:
    live = leased(conn.stream, now_ms)
    return Blocked("refreshing", conn.stream.lease_until) if live else None


def _needs_reconnect(conn: Candidate, _now_ms: int, _schedule: Schedule) -> Blocked | None:
    failed = conn.stream.state == "failed" and not conn.reconnected
    return Blocked("needs_reconnect") if failed and conn.stream.retry_at is None else None


def _backoff(conn: Candidate, now_ms: int, _schedule: Schedule) -> Blocked | None:
    retry_at = conn.stream.retry_at
    if conn.stream.state != "failed" or conn.reconnected or retry_at is None:
        return None
    return Blocked("backoff", retry_at) if now_ms < retry_at <= now_ms + RETRY_MAX_MS else None


def leased(stream: Stream, now_ms: int) -> bool:
    """Return whether a refresh is claimed at a moment; a lease too far ahead is a clock's error.

    The moment has to be the present one: to a worker that stood still for longer than
    LEASE_MAX_MS, and still goes by the time when it began, any live lease is too far ahead.
    """
    until_ms = stream.lease_until or 0
    return stream.state == "refreshing" and now_ms < until_ms <= now_ms + LEASE_MAX_MS


def _open_job(conn: Candidate, now_ms: int, schedule: Schedule) -> Blocked | None:
    if conn.job_id is None:
        return None
    over_at = (conn.job_since or 0) + schedule.job_limit_ms
    return Blocked("open_job", over_at) if over_at > now_ms else None


def _syncing(conn: Candidate, now_ms: int, schedule: Schedule) -> Blocked | None:
    if conn.sync_status != "syncing":
        return None
    over_at = _syncing_since(conn) + schedule.job_limit_ms
    return Blocked("syncing", over_at) if over_at > now_ms else None


def _syncing_since(conn: Candidate) -> int:
    """Return the last sign of life of whoever set `syncing`: its job's, or what else is known."""
    if conn.job_since is not None:
        return conn.job_since
    moved_at = conn.stream.changed_at if conn.moved_at is None else conn.moved_at
    return max(moved_at, conn.last_synced_at or 0) or conn.connected_at or 0


def interval_of(conn: Candidate, schedule: Schedule) -> int:
    """Return how long after one sync the next is due, in ms."""
    return conn.interval_ms or schedule.interval_ms


def _future(conn: Candidate, now_ms: int, schedule: Schedule) -> Blocked | None:
    synced_at = conn.last_synced_at
    if synced_at is None or synced_at <= now_ms:
        return None
    return Blocked("future", synced_at + interval_of(conn, schedule))


def _fresh(conn: Candidate, now_ms: int, schedule: Schedule) -> Blocked | None:
    if conn.last_synced_at is None:
        return None
    passed_at = conn.last_synced_at + interval_of(conn, schedule)
    return Blocked("fresh", passed_at) if passed_at >= now_ms else None


# In the order in which they are asked: the first that says no is the reason that is told.
_CLAUSES: Final[Mapping[Clause, Callable[[Candidate, int, Schedule], Blocked | None]]] = {
    "inactive": _inactive,
    "paused": _paused,
    "in_outbox": _in_outbox,
    "refreshing": _refreshing,
    "needs_reconnect": _needs_reconnect,
    "backoff": _backoff,
    "open_job": _open_job,
    "syncing": _syncing,
    "future": _future,
    "fresh": _fresh,
}


def _due(conn: Candidate) -> Due:
    reason: DueReason = "interval_elapsed" if conn.last_synced_at is not None else "never_synced"
    if conn.stream.state == "failed":
        reason = "reconnected" if conn.reconnected else "retry"
    return Due(reason, _given_up(conn))


def _given_up(conn: Candidate) -> str | None:
    """Return the open job that a due connection gives up; not one that it gave up already.

    Whoever made that job may never close it. Then it is still there when a later one has ended.
    """
    stream = conn.stream
    later = stream.job_id is not None and stream.job_id != conn.job_id
    return None if later and stream.changed_at > (conn.job_since or 0) else conn.job_id


def fell_due(conn: Candidate, due: Due) -> FellDue:
    """Return the event that opens a cycle."""
    return FellDue(
        reason=due.reason,
        last_synced_at=conn.last_synced_at,
        superseded_job_id=due.superseded_job_id,
    )


def expires_within(conn: Candidate, now_ms: int, margin_ms: int) -> bool:
    """Return whether the access token ends before `now_ms + margin_ms`; no expiry never does."""
    if conn.expires_at is None:
        return conn.expires_odd
    return conn.expires_at < now_ms + margin_ms


def message_for(conn: Candidate, now_ms: int, job_id: str) -> SyncJobMessage:
    """Return the whole message: a first sync reaches back seven days, others to the last one."""
    first = conn.last_synced_at is None
    start = now_ms - FIRST_WINDOW_MS if conn.last_synced_at is None else conn.last_synced_at
    now = iso(now_ms)
    return SyncJobMessage(
        job_id=job_id,
        connection_id=conn.connection_id,
        organization_id=conn.organization_id,
        platform=conn.platform,
        account_id=conn.account_id,
        job_type="full" if first else "incremental",
        sync_window=SyncWindow(iso(start), now),
        metadata=MessageMetadata(0, now, "high" if first else "normal"),
    )


def backoff(failures: int, jitter: float) -> int:
    """Return how long the `failures`-th failure in a row waits, in ms.

    15 min doubling to 6 h, of which the upper half is drawn by `jitter` in [0, 1), so that the
    first wait always ends before the next tick, and a crowd that failed together does not come
    back together.
    """
    longest = min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** min(failures - 1, 16))
    return int(longest * (0.5 + jitter / 2))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS: Final = (-62135596800000, 253402300799999)  # What four digits can say.


@lru_cache(maxsize=256)  # All that happens in a tick happens at one moment.
def iso(ms: int) -> str:
    """Return `ms` as `YYYY-MM-DDTHH:MM:SS.sssZ`, what we write in shared columns and messages."""
    at = _EPOCH + timedelta(milliseconds=min(max(ms, _YEARS[0]), _YEARS[1]))
    return at.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
