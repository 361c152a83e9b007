"""What a page tells, before it is drawn: the facts, the verdict in words, the tiles."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from clearlift_adapters.web.figures import counted
from clearlift_engine.advice import declaring, undeclared
from clearlift_engine.alerts import Alert, AlertName, alerts, firing, spoken
from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import FailureClass, SyncFailed, decode
from clearlift_engine.overview import Audit, Flow, Overview, Trouble
from clearlift_engine.policy import iso
from clearlift_engine.timeline import TimelineLine

AUDITED_DAYS: Final = 30


class Sealed(msgspec.Struct, frozen=True):
    """The newest seal over the log."""

    number: int
    position: int
    sealed_at: str
    newer: int  # Rows of the log that came after it.


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the report shows."""

    overview: Overview
    flows: Sequence[Flow]
    flows_cut: bool  # There were more rows than are counted.
    audits: Sequence[Audit]
    seal: Sealed | str | None  # A text: why it cannot be read.


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page of one connection shows; no token is in it."""

    at: int
    connection_id: str
    fields: Mapping[str, str | None]  # What the tables say of it now, by name.
    waits_for: str | None  # Why the next tick will leave it alone; None: it will not.
    lines: Sequence[TimelineLine]  # Oldest first.
    omitted: int = 0  # So many are older than those.


class Verdict(msgspec.Struct, frozen=True):
    """The whole report in a few words."""

    well: bool
    words: str
    detail: str


class Tile(msgspec.Struct, frozen=True):
    """An alert rule, with what it is held against."""

    alert: Alert
    title: str
    value: str
    limit: str
    part: float | None  # Of the meter, whose end is twice the limit; None: it is yes or no.


class Advice(msgspec.Struct, frozen=True):
    """A connection that failed: why, and what to do about it."""

    trouble: Trouble
    why: str
    todo: str


def verdict(seen: Overview) -> Verdict:
    """Return in words how the worker is."""
    fired, ticks = firing(seen), seen.ticks
    detail = "Nothing is known of any tick: run `clearlift-cron tick`, or see that cron does."
    if ticks:
        ago = spoken(max(seen.at - ticks[0].started_at, 0))
        outcome = (ticks[0].outcome or "not ended").replace("_", " ")
        jobs = counted(ticks[0].jobs_created, "job")
        detail = f"The last tick began {ago} ago and made {jobs}: {outcome}."
        if seen.next_tick_at is not None:
            detail += f" The next is expected at {iso(seen.next_tick_at)[11:16]} UTC."
    if fired:
        things = "One thing needs" if len(fired) == 1 else f"{len(fired)} things need"
        return Verdict(well=False, words=f"{things} attention", detail=detail)
    if not ticks:
        return Verdict(well=False, words="No tick in the last day", detail=detail)
    return Verdict(well=True, words="All is well", detail=detail)


def tiles(seen: Overview) -> Sequence[Tile]:
    """Return a tile for each alert rule, in their order."""
    return [_tile(alert) for alert in alerts(seen)]


def _tile(alert: Alert) -> Tile:
    title, show = _TITLES[alert.name]
    part = min(alert.value / (2 * alert.limit), 1.0) if alert.limit else None
    limit = f"fires above {show(alert.limit)}" if alert.limit else "fires at once"
    return Tile(alert, title, show(alert.value), limit, part)


def _seconds(value: float) -> str:
    return spoken(round(value * 1000))


def _number(value: float) -> str:
    return f"{value:,.0f}"


_TITLES: Final[Mapping[AlertName, tuple[str, Callable[[float], str]]]] = {
    "error_rate": ("Error rate, last hour", lambda value: f"{value:.1%}"),
    "queue_depth": ("Messages in the queue", _number),
    "oldest_message": ("Oldest message", _seconds),
    "missed_ticks": ("Missed ticks, lately", _number),
    "stuck_relay": ("Oldest job that waits for relay", _seconds),
    "provider_breaker": ("Providers in trouble", _number),
    "audit_violation": (
        "Violations, last day",
        lambda value: "violated" if value else "none found",
    ),
}

_TODO: Final[Mapping[FailureClass, str]] = {
    "transient": "Nothing yet: it is tried again by itself.",
    "permanent": "Its user must reconnect; then it goes on by itself.",
    "invalid": "Put its row right: the text says what is wrong with it.",
}


def advised(seen: Overview) -> Sequence[Advice]:
    """Return the connections that failed most often, with what to do about each."""
    return [_advised(trouble) for trouble in seen.worst]


def _advised(trouble: Trouble) -> Advice:
    try:
        event = decode("sync_failed", trouble.data)
    except UnreadableEventError as exc:
        return Advice(trouble, str(exc), "Run `clearlift-cron replay`: the log is damaged.")
    if not isinstance(event, SyncFailed):
        return Advice(trouble, "", "")
    code = f" ({event.code})" if event.code and event.code not in event.message else ""
    platform = undeclared(event)
    todo = _TODO[event.failure_class]
    if platform is not None:
        sentence = declaring(platform)
        todo = f"{sentence[0].upper()}{sentence[1:]}."
    if trouble.retry_at is not None:
        todo = f"{todo} Next try: {iso(trouble.retry_at)[:16].replace('T', ' ')} UTC."
    return Advice(trouble, f"{event.message}{code}", todo)
