"""How fast a provider may be asked, and when it is better not to ask at all. Pure functions.

A Gate is one provider's row in the database, moved in the very transaction that claims a refresh,
so it holds across processes and restarts. `version` is its lock: a gate that somebody moved first
refuses the whole claim.

Pacing is a log of the last `count` slots: the next slot is free one period after the slot `count`
places back. For a count of 1 that is GCRA without a burst; for 200 an hour it is what GCRA cannot
say: never more than 200 in any hour, and yet as early as that allows.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

FAILURES_TO_OPEN: Final = 5  # Transient ones in a row, over all connections of the provider.

HORIZON_MS: Final = 10_000  # Slots are taken this far ahead: a claim waits at most so long.

AHEAD_MAX_MS: Final = 5 * 60 * 1000  # More than any claim waits and clocks differ.
PAUSE_MAX_MS: Final = 25 * 3600 * 1000  # No pause is longer: what is was set by a wrong clock.

BreakerReason = Literal["provider_down", "configuration", "suspect"]


class Rate(msgspec.Struct, frozen=True):
    """At most `count` requests in any `period_ms`."""

    count: int
    period_ms: int


class Gate(msgspec.Struct, frozen=True):
    """What all processes together have asked of one provider lately."""

    provider: str
    version: int = 0
    run_id: str = ""  # Who moved it last.
    slots: tuple[int, ...] = ()  # Of the newest requests, ascending; at most `Rate.count` of them.
    paused_until: int = 0  # The provider said so.
    failures: int = 0  # Transient ones in a row.
    breaker: BreakerReason | None = None  # Open, and why: one probe per tick.
    opened_at: int | None = None
    probe_run: str | None = None  # The run that has had its probe.


def reserve(
    gate: Gate, rate: Rate, *, now_ms: int, until_ms: int, wanted: int
) -> tuple[Gate, Sequence[int]]:
    """Return the gate after taking up to `wanted` slots before `until_ms`, and when they begin."""
    # A slot far ahead was taken by a clock that was wrong: it must not shut the gate for years.
    known = [slot for slot in gate.slots if slot <= now_ms + AHEAD_MAX_MS]
    slots, taken = known[-rate.count :], list[int]()
    while len(taken) < wanted:
        slot = (
            now_ms if len(slots) < rate.count else max(now_ms, slots[-rate.count] + rate.period_ms)
        )
        slot = max(slot, slots[-1]) if slots else slot
        if slot > until_ms:
            break
        taken.append(slot)
        slots.append(slot)
    moved = msgspec.structs.replace(_believed(gate, now_ms), slots=tuple(slots[-rate.count :]))
    return moved, taken


def _believed(gate: Gate, now_ms: int) -> Gate:
    """Return the gate without what a wrong clock has set, or no later pause would be heard of."""
    if gate.paused_until > now_ms + PAUSE_MAX_MS:
        gate = msgspec.structs.replace(gate, paused_until=0)
    if gate.opened_at is not None and gate.opened_at > now_ms + AHEAD_MAX_MS:
        gate = msgspec.structs.replace(gate, opened_at=now_ms)
    return gate


def allowance(gate: Gate, *, now_ms: int, run_id: str) -> int | None:
    """Return how many requests this run may make now: None for any number, one probe, or none."""
    if now_ms < gate.paused_until <= now_ms + PAUSE_MAX_MS:
        return 0
    if gate.breaker is None:
        return None
    return 0 if gate.probe_run == run_id else 1


def succeeded(gate: Gate) -> Gate:
    """Return the gate after an answer that shows the provider to be well.

    A pause stays: the request may have been on its way already when the provider asked for it.
    """
    if not gate.failures and gate.breaker is None:
        return gate
    return msgspec.structs.replace(gate, failures=0, breaker=None, opened_at=None, probe_run=None)


def stumbled(gate: Gate, now_ms: int) -> Gate:
    """Return the gate after a transient failure; the fifth in a row opens the breaker."""
    failures = gate.failures + 1
    if failures < FAILURES_TO_OPEN or gate.breaker is not None:
        return msgspec.structs.replace(gate, failures=failures)
    return opened(msgspec.structs.replace(gate, failures=failures), "provider_down", now_ms)


def opened(gate: Gate, reason: BreakerReason, now_ms: int) -> Gate:
    """Return the gate with its breaker open; what is open stays open since when it was."""
    if gate.breaker == reason:
        return gate
    return msgspec.structs.replace(gate, breaker=reason, opened_at=now_ms)


def paused(gate: Gate, until_ms: int) -> Gate:
    """Return the gate closed until the provider's own time."""
    return msgspec.structs.replace(gate, paused_until=max(gate.paused_until, until_ms))
