"""preview: what a tick would do now, and why it would leave the others; nothing is written."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from clearlift_engine.decisions import needs_refresh, still_lives, too_large
from clearlift_engine.events import JobType, SyncWindow
from clearlift_engine.pacing import Gate, allowance, reserve
from clearlift_engine.policy import Blocked, Candidate, Clause, assess, iso, message_for
from clearlift_engine.ports import Provider, Store, Survey, TokenRefresher
from clearlift_engine.refresh import PATIENCE_MS
from clearlift_engine.run import TickSettings

PAGE: Final = 500

REASONS: Final[Mapping[Clause, str]] = {
    "inactive": "the connection is not active",
    "paused": "an operator has paused it",
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
    budgets = await _budgets(store, refresher.providers, now_ms)
    after = 0
    while refs := await survey.refs(after=after, limit=PAGE):
        for conn in await store.candidates(refs):
            not_due += _consider(plan, conn, budgets, settings, now_ms)
        after = refs[-1]
    return _within(msgspec.structs.replace(plan, not_due=not_due), settings.limit)


async def preview_of(
    conn: Candidate,
    store: Store,
    refresher: TokenRefresher,
    settings: TickSettings,
    *,
    now_ms: int,
) -> TickPlan:
    """Return the plan of a tick at `now_ms` that had only this connection to serve."""
    plan = TickPlan(iso(now_ms), [], [], [], 0)
    asked = {name: it for name, it in refresher.providers.items() if name == conn.platform}
    budgets = await _budgets(store, asked, now_ms)
    not_due = _consider(plan, conn, budgets, settings, now_ms)
    return msgspec.structs.replace(plan, not_due=int(not_due))


class Budget:
    """How many refreshes of one provider a tick would begin, and what keeps it from more."""

    def __init__(self, provider: Provider, gate: Gate, now_ms: int) -> None:
        self.provider = provider
        self._left, self._hindrance = _budget(provider, gate, now_ms)

    def take(self) -> str | None:
        """Count one more refresh; return why it would not be tried, if it would not."""
        if self._left is None:
            return None
        self._left -= 1
        return self._hindrance if self._left < 0 else None


def _budget(provider: Provider, gate: Gate, now_ms: int) -> tuple[int | None, str]:
    name = provider.name
    if provider.problem is not None:
        return 0, provider.problem
    match allowance(gate, now_ms=now_ms, run_id=""):
        case 0:
            return 0, f"{name} wants to be left alone until {iso(gate.paused_until)}"
        case int(probes):
            return probes, f"{name} is asked once a tick, until it answers: {gate.breaker}"
        case None:
            pass
    if provider.rate is None or provider.rate.period_ms <= PATIENCE_MS:
        return None, ""  # A tick waits for more.
    until_ms = now_ms + PATIENCE_MS
    _, slots = reserve(
        gate, provider.rate, now_ms=now_ms, until_ms=until_ms, wanted=provider.rate.count
    )
    return len(slots), f"{name} takes no more requests than {provider.rate.count} at a time"


async def _budgets(
    store: Store, providers: Mapping[str, Provider], now_ms: int
) -> Mapping[str, Budget]:
    return {
        name: Budget(provider, await store.gate(name), now_ms)
        for name, provider in providers.items()
    }


def _consider(
    plan: TickPlan,
    conn: Candidate,
    budgets: Mapping[str, Budget],
    settings: TickSettings,
    now_ms: int,
) -> bool:
    """Add to the plan what becomes of a connection; return True if that is not worth a line."""
    found = assess(conn, now_ms, settings.schedule)
    if not isinstance(found, Blocked):
        _add(plan, conn, budgets.get(conn.platform), settings, now_ms)
    elif found.clause in UNINTERESTING:
        return True
    else:
        until = None if found.until is None else iso(found.until)
        plan.blocked.append(_left(conn, found.clause, REASONS[found.clause], until))
    return False


def _add(
    plan: TickPlan, conn: Candidate, budget: Budget | None, settings: TickSettings, now_ms: int
) -> None:
    provider = None if budget is None else budget.provider
    refreshes = needs_refresh(conn, provider, now_ms, settings.schedule)
    why = None
    if too_large(conn):
        why = "its ids are too long for a queue message"
    elif refreshes and budget is None:
        why = f"its token has expired and no provider is declared for {conn.platform!r}"
    elif refreshes and budget is not None:
        why = budget.take()
        if why is not None and still_lives(conn, now_ms):
            refreshes, why = False, None  # Its token can carry this one job.
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
