"""explain: why one connection is served or not, clause by clause, and what is to be done.

The rule is `policy`'s and the plan is `preview`'s; here is what their facts say in words. About the
past, the log knows where a stream stood and why. Of the shared tables only today's rows are known:
each clause says which of the two it rests on.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import msgspec

from clearlift_engine.advice import PROGRAM, Advice, Who, about_block, after_failure
from clearlift_engine.cycles import Cycle, cycles, happened_at, newest
from clearlift_engine.events import Paused, SyncFailed
from clearlift_engine.policy import (
    Blocked,
    Candidate,
    Clause,
    Due,
    Schedule,
    assess,
    due_at,
    interval_of,
    iso,
    verdicts,
)
from clearlift_engine.ports import Provider
from clearlift_engine.preview import REASONS, TickPlan
from clearlift_engine.questions import JobFact
from clearlift_engine.stream import Entry, Stream

CYCLES_MAX: Final = 10

Source = Literal["log", "jobs", "today"]

_SOURCES: Final[Mapping[Clause, Source]] = {
    "inactive": "today",
    "paused": "log",
    "in_outbox": "log",
    "refreshing": "log",
    "needs_reconnect": "log",
    "backoff": "log",
    "open_job": "jobs",
    "syncing": "today",
    "future": "today",
    "fresh": "today",
}


class ClauseLine(msgspec.Struct, frozen=True):
    """One clause of the due rule: whether it keeps the connection back, and why."""

    clause: Clause
    blocks: bool
    until: int | None
    because: str
    known_from: Source  # About the past: what the answer rests on.


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is to say of one connection at one moment."""

    at: int
    conn: Candidate
    found: Due | Blocked
    due_at: int | None  # At the latest; None: it takes more than time.
    clauses: Sequence[ClauseLine]
    token: str
    paused: Paused | None
    failure: SyncFailed | None  # While failed.
    failed_at: int | None  # Not when an operator last had a word, but when it failed.
    advice: Advice
    cycles: Sequence[Cycle]  # Newest first.


def explain(
    conn: Candidate,
    entries: Sequence[Entry],
    jobs: Sequence[JobFact],
    *,
    now_ms: int,
    schedule: Schedule,
    provider: Provider | None,
    plan: TickPlan | None,
    recorded: Collection[Clause] = (),
) -> Explanation:
    """Return why `conn` is due or not; `entries` are its newest, `plan` what a tick would do.

    Of the past, `recorded` are the clauses about a shared table that the log can answer.
    """
    found = assess(conn, now_ms, schedule)
    paused = newest(entries, Paused) if conn.stream.paused_at is not None else None
    failure = newest(entries, SyncFailed) if conn.stream.state == "failed" else None
    return Explanation(
        at=now_ms,
        conn=conn,
        found=found,
        due_at=due_at(conn, now_ms, schedule),
        clauses=[
            ClauseLine(
                clause,
                blocked is not None,
                None if blocked is None else blocked.until,
                because(clause, conn, schedule, paused),
                "log" if clause in recorded else _SOURCES[clause],
            )
            for clause, blocked in verdicts(conn, now_ms, schedule).items()
        ],
        token=token_of(conn, provider, now_ms, schedule),
        paused=paused,
        failure=failure,
        failed_at=None if failure is None else happened_at(entries, SyncFailed),
        advice=_advice(conn, found, entries, plan, provider),
        cycles=cycles(entries, jobs)[:CYCLES_MAX],
    )


def because(clause: Clause, conn: Candidate, schedule: Schedule, paused: Paused | None) -> str:
    """Return the values that a clause looked at."""
    stream = conn.stream
    match clause:
        case "inactive":
            return f"is_active is {'true' if conn.is_active else 'false'}"
        case "paused":
            return _because_paused(stream, paused)
        case "open_job":
            return _because_job(conn, schedule)
        case "syncing":
            return (
                f"sync_status is {'NULL' if conn.sync_status is None else repr(conn.sync_status)}"
            )
        case "future" | "fresh":
            return _because_synced(conn, schedule)
        case _:
            return _because_stream(clause, conn)


def _because_paused(stream: Stream, paused: Paused | None) -> str:
    if stream.paused_at is None:
        return "no operator has paused it"
    who = "" if paused is None else f" by {paused.by}: {paused.reason}"
    return f"paused at {iso(stream.paused_at)}{who}"


def _because_stream(clause: Clause, conn: Candidate) -> str:
    stream = conn.stream
    if stream.state is None:
        return "no tick has seen it yet"
    state = f"its state is {stream.state} since {iso(stream.changed_at)}"
    if stream.state == "refreshing" and clause == "refreshing":
        until = "nobody" if stream.lease_until is None else iso(stream.lease_until)
        return f"{state}, leased until {until}"
    if stream.state != "failed" or clause not in ("needs_reconnect", "backoff"):
        return state
    times = "after one failure" if stream.failures == 1 else f"after {stream.failures} failures"
    if conn.reconnected:
        return f"{state}, {times}; its credentials have changed since"
    if stream.retry_at is None:
        return f"{state}, {times}; retry_at is NULL, its credentials are those that failed"
    return f"{state}, {times}; retry_at is {iso(stream.retry_at)}"


def _because_job(conn: Candidate, schedule: Schedule) -> str:
    if conn.job_id is None:
        return "none of its jobs is pending or running"
    since = "an unknown time" if not conn.job_since else iso(conn.job_since)
    limit = schedule.job_limit_ms // 1000
    return f"job {conn.job_id} is open since {since}; given up after {limit} s"


def _because_synced(conn: Candidate, schedule: Schedule) -> str:
    if conn.last_synced_odd:
        return "last_synced_at is no time: it counts as never synced"
    if conn.last_synced_at is None:
        return "last_synced_at is NULL: it was never synced"
    interval = interval_of(conn, schedule)
    own = "of its own" if conn.interval_ms else "by default"
    return (
        f"last_synced_at is {iso(conn.last_synced_at)}; with {interval // 1000} s ({own}) that is "
        f"{iso(conn.last_synced_at + interval)}"
    )


def token_of(conn: Candidate, provider: Provider | None, now_ms: int, schedule: Schedule) -> str:
    """Return how the access token stands, and when it is refreshed."""
    margin = schedule.refresh_margin_ms // 1000
    if conn.expires_odd:
        ends = "expires_at is no time: it counts as ended"
    elif conn.expires_at is None:
        ends = "expires_at is NULL: it lasts"
        if provider is not None and provider.without_expiry == "refresh":
            ends = "expires_at is NULL: it is refreshed for every job"
    else:
        ended = "ended" if conn.expires_at < now_ms else "ends"
        ends = f"{ended} at {iso(conn.expires_at)}"
    if provider is None:
        return f"{ends}; no provider is declared for {conn.platform!r}, so nobody can refresh it"
    if provider.rate is None:
        return f"{ends}; a token of {provider.name} is never refreshed"
    return f"{ends}; refreshed before a job when less than {margin} s are left"


def _advice(
    conn: Candidate,
    found: Due | Blocked,
    entries: Sequence[Entry],
    plan: TickPlan | None,
    provider: Provider | None,
) -> Advice:
    if isinstance(found, Due):
        return _about_due(plan, provider)
    if found.clause not in ("needs_reconnect", "backoff"):
        return about_block(found, conn.connection_id)
    newest = next((e.data for e in reversed(entries) if e.transition == "sync_failed"), "")
    return after_failure(newest, conn.connection_id, conn.stream.retry_at)


def _about_due(plan: TickPlan | None, provider: Provider | None) -> Advice:
    tick = f"{PROGRAM} tick"
    if plan is None:
        return Advice("nobody", "nothing: the next tick was to serve it")
    if plan.blocked:
        [left] = plan.blocked
        who: Who = "user" if left.clause == "no_token" else "operator"
        if left.clause == "provider" and provider is not None and provider.problem is None:
            who = "nobody"  # It is the provider that has to come to itself.
        return Advice(who, f"a tick would leave it: {left.why}", f"{tick} --dry-run")
    refresh = " after refreshing its token" if plan.refreshes else ""
    return Advice("nobody", f"nothing: the next tick makes its job{refresh}", tick)


def why(found: Due | Blocked) -> str:
    """Return the verdict in a few words."""
    if isinstance(found, Blocked):
        return f"not due: {REASONS[found.clause]}"
    superseded = found.superseded_job_id
    gives_up = "" if superseded is None else f"; gives up job {superseded}, open for too long"
    return f"due: {found.reason.replace('_', ' ')}{gives_up}"
