"""What should wake somebody: a few rules over an Overview. Pure functions.

Each rule has a name that status, metrics, notices and the rules file for Prometheus share, a
limit, and the next thing to do. The first three are the ones that operators asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec

from clearlift_engine.overview import Overview, RunFact
from clearlift_engine.policy import HOUR_MS, MINUTE_MS

AlertName = Literal[
    "error_rate",
    "queue_depth",
    "oldest_message",
    "missed_ticks",
    "stuck_relay",
    "provider_breaker",
    "audit_violation",
]

ERROR_RATE_MAX: Final = 0.10
QUEUE_DEPTH_MAX: Final = 500
OLDEST_MESSAGE_MAX_MS: Final = HOUR_MS
MISSED_TICKS_MAX: Final = 1  # One may be late: a machine restarts.
STUCK_RELAY_MS: Final = 30 * MINUTE_MS  # Two ticks of the usual schedule.
RATE_OVER_MS: Final = HOUR_MS
LATE_MS: Final = 2 * MINUTE_MS  # So long after its time a tick is not yet missed.
RECENT_TICKS: Final = 4  # Of as many the missed ones count: older gaps are history.


class Alert(msgspec.Struct, frozen=True):
    """One rule, held against the facts."""

    name: AlertName
    firing: bool
    value: float
    limit: float
    sentence: str  # What is so, whether it is too much or not.
    next_step: str  # What to do when it fires: a command, if one helps.


def alerts(seen: Overview) -> Sequence[Alert]:
    """Return every rule, firing or not, in the order of AlertName."""
    return [rule(seen) for rule in _RULES.values()]


def firing(seen: Overview) -> Sequence[Alert]:
    """Return the rules that fire."""
    return [alert for alert in alerts(seen) if alert.firing]


def error_rate(seen: Overview) -> float:
    """Return which part of the connections that were due in the last hour failed; 0 of none."""
    ticks = [run for run in seen.ticks if run.started_at > seen.at - RATE_OVER_MS]
    due = sum(run.due for run in ticks)
    return sum(run.failed for run in ticks) / due if due else 0.0


def missed(expected: Sequence[int], ticks: Sequence[RunFact], now_ms: int) -> Sequence[int]:
    """Return the times at which a tick was expected and none began before the next time.

    A tick that is LATE_MS late is not missed yet.
    """
    began = sorted(run.started_at for run in ticks)
    slots = [*expected, max(now_ms, *expected[-1:])] if expected else []
    return [
        slot
        for slot, end in pairwise(slots)
        if now_ms >= slot + LATE_MS
        and not any(slot - LATE_MS < start < max(end, slot + LATE_MS) for start in began)
    ]


def _error_rate(seen: Overview) -> Alert:
    rate = error_rate(seen)
    return Alert(
        "error_rate",
        rate > ERROR_RATE_MAX,
        rate,
        ERROR_RATE_MAX,
        f"{rate:.1%} of the connections that were due in the last hour failed",
        "clearlift-cron failures",
    )


def _queue_depth(seen: Overview) -> Alert:
    depth = 0 if seen.queue is None else seen.queue.messages
    return Alert(
        "queue_depth",
        depth > QUEUE_DEPTH_MAX,
        depth,
        QUEUE_DEPTH_MAX,
        f"{depth} messages are in the queue",
        "see that the consumer runs: clearlift-cron queue depth",
    )


def _oldest_message(seen: Overview) -> Alert:
    oldest = None if seen.queue is None else seen.queue.oldest_at
    age_ms = 0 if oldest is None else max(seen.at - oldest, 0)
    return Alert(
        "oldest_message",
        age_ms > OLDEST_MESSAGE_MAX_MS,
        age_ms / 1000,
        OLDEST_MESSAGE_MAX_MS / 1000,
        f"the oldest message has been in the queue for {spoken(age_ms)}",
        "see that the consumer runs: clearlift-cron queue list",
    )


def _missed_ticks(seen: Overview) -> Alert:
    recent = seen.expected_ticks[-RECENT_TICKS:]
    number = len(missed(recent, seen.ticks, seen.at))
    return Alert(
        "missed_ticks",
        number > MISSED_TICKS_MAX,
        number,
        MISSED_TICKS_MAX,
        f"{number} of the last {len(recent)} ticks did not come",
        "see that cron, the timer or the CronJob runs: clearlift-cron runs --command tick",
    )


def _stuck_relay(seen: Overview) -> Alert:
    oldest = seen.backlog.oldest_at
    age_ms = 0 if oldest is None else max(seen.at - oldest, 0)
    return Alert(
        "stuck_relay",
        age_ms > STUCK_RELAY_MS,
        age_ms / 1000,
        STUCK_RELAY_MS / 1000,
        f"{seen.backlog.jobs} jobs wait for the relay, the oldest for {spoken(age_ms)}",
        "clearlift-cron relay --drain -v",
    )


def _provider_breaker(seen: Overview) -> Alert:
    opened = [f"{gate.provider} ({gate.breaker})" for gate in seen.gates if gate.breaker]
    return Alert(
        "provider_breaker",
        bool(opened),
        len(opened),
        0,
        f"the breaker is open of {', '.join(opened)}" if opened else "every provider is well",
        "it is probed once per tick; see the provider's status page, and its client id and secret",
    )


def _audit_violation(seen: Overview) -> Alert:
    newest: dict[str, RunFact] = {}
    for run in reversed(seen.runs):
        if run.command in AUDITS and run.outcome is not None:
            newest[run.command] = run
    violated = any(run.outcome == "violated" for run in newest.values())
    return Alert(
        "audit_violation",
        violated,
        int(violated),
        0,
        "the newest audit found a violation" if violated else "no audit of the last day found any",
        "clearlift-cron replay",
    )


AUDITS: Final = ("replay", "audit verify")
# These look at runs alone, whose past is known: they can be held against any moment.
OF_RUNS: Final[frozenset[AlertName]] = frozenset({"error_rate", "missed_ticks", "audit_violation"})

_RULES: Final[Mapping[AlertName, Callable[[Overview], Alert]]] = {
    "error_rate": _error_rate,
    "queue_depth": _queue_depth,
    "oldest_message": _oldest_message,
    "missed_ticks": _missed_ticks,
    "stuck_relay": _stuck_relay,
    "provider_breaker": _provider_breaker,
    "audit_violation": _audit_violation,
}


def spoken(ms: int) -> str:
    """Return a stretch of time as one says it: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    seconds = ms // 1000
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 2 * 60:
        return f"{seconds} s"
    if minutes < 2 * 60:
        return f"{minutes} min"
    if hours < 2 * 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"
