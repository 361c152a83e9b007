"""preview: what a tick would do now, and why it would leave the others; nothing is written."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from clearlift_engine.decisions import needs_refresh, too_large
from clearlift_engine.events import JobType, SyncWindow
from clearlift_engine.pacing import Gate, allowance
from clearlift_engine.policy import Blocked, Candidate, Clause, assess, iso, message_for
from clearlift_engine.ports import Provider, Store, Survey, TokenRefresher
from clearlift_engine.run import TickSettings

PAGE: Final = 500

REASONS: Final[Mapping[Clause, str]] = {
    "inactive": "the connection is not active",
    "in_outbox": "its job waits for the relay",
    "refreshing": "another worker is refreshing its token",
    "needs_reconnect": "its grant is dead; the user must reconnect",
    "backoff": "it failed and waits for its next try",
    "open_job": "its job is not finished",
    "syncing": "it is being synced",
    "future": "last_synced_at is in the future",
    "fresh": "its interval has not passed",
}
UNINTERESTING: Final = ("inactive", "fresh")  # Counted, not listed.


class PlannedJob(msgspec.Struct, frozen=True):
    """A job that the tick would create."""

    connection_id: str
    platform: str
    job_type: JobType
    sync_window: SyncWindow
    after_refresh: bool


class PlannedRefresh(msgspec.Struct, frozen=True):
    """A token that the tick would refresh first."""

    connection_id: str
    platform: str
    expires_at: str | None


class LeftAlone(msgspec.Struct, frozen=True):
    """A connection that the tick would not serve, and why."""

    connection_id: str
    platform: str
    clause: str
    until: str | None
    why: str


class TickPlan(msgspec.Struct, frozen=True):
    """What `tick --dry-run --json` prints."""

    now: str
    jobs: list[PlannedJob]
    refreshes: list[PlannedRefresh]
    blocked: list[LeftAlone]
    not_due: int  # Fresh or inactive.


async def preview(
    store: Store,
    survey: Survey,
    refresher: TokenRefresher,
    settings: TickSettings,
    *,
    now_ms: int,
) -> TickPlan:
    """Return the plan of a tick at `now_ms`, over all connections."""
    plan = TickPlan(iso(now_ms), [], [], [], 0)
    not_due = 0
    gates = {name: await store.gate(name) for name in refresher.providers}
    after = 0
    while refs := await survey.refs(after=after, limit=PAGE):
        for conn in await store.candidates(refs):
            found = assess(conn, now_ms, settings.schedule)
            if not isinstance(found, Blocked):
                _add(plan, conn, refresher.providers, gates, settings, now_ms)
            elif found.clause in UNINTERESTING:
                not_due += 1
            else:
                until = None if found.until is None else iso(found.until)
                plan.blocked.append(_left(conn, found.clause, REASONS[found.clause], until))
        after = refs[-1]
    return _within(msgspec.structs.replace(plan, not_due=not_due), settings.limit)


def _add(
    plan: TickPlan,
    conn: Candidate,
    providers: Mapping[str, Provider],
    gates: Mapping[str, Gate],
    settings: TickSettings,
    now_ms: int,
) -> None:
    provider = providers.get(conn.platform)
    refreshes = needs_refresh(conn, provider, now_ms, settings.schedule)
    why = _hindrance(conn, provider, gates, now_ms) if refreshes else None
    if too_large(conn):
        why = "its ids are too long for a queue message"
    if why is not None:
        plan.blocked.append(_left(conn, "provider", why))
        return
    if refreshes:
        expires_at = None if conn.expires_at is None else iso(conn.expires_at)
        plan.refreshes.append(PlannedRefresh(conn.connection_id, conn.platform, expires_at))
    message = message_for(conn, now_ms, "")
    plan.jobs.append(
        PlannedJob(
            conn.connection_id, conn.platform, message.job_type, message.sync_window, refreshes
        )
    )


def _hindrance(
    conn: Candidate, provider: Provider | None, gates: Mapping[str, Gate], now_ms: int
) -> str | None:
    """Return why a refresh would not be tried, if it would not."""
    if provider is None:
        return f"its token has expired and no provider is declared for {conn.platform!r}"
    if provider.problem is not None:
        return provider.problem
    gate = gates[provider.name]
    if allowance(gate, now_ms=now_ms, run_id="") == 0:
        return f"{provider.name} wants to be left alone until {iso(gate.paused_until)}"
    return None


def _left(conn: Candidate, clause: str, why: str, until: str | None = None) -> LeftAlone:
    return LeftAlone(conn.connection_id, conn.platform, clause, until, why)


def _within(plan: TickPlan, limit: int | None) -> TickPlan:
    """Cut the plan to what `--limit` allows; which ones a tick would take is its fair order's to
    say.
    """
    if limit is None:
        return plan
    jobs: Sequence[PlannedJob] = plan.jobs[:limit]
    chosen = {job.connection_id for job in jobs}
    refreshes = [each for each in plan.refreshes if each.connection_id in chosen]
    return msgspec.structs.replace(plan, jobs=list(jobs), refreshes=refreshes)
