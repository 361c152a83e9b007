"""What no test of the pacing minded when it was changed: see docs/mutation.md."""

import msgspec
import pytest

from clearlift_engine.pacing import (
    AHEAD_MAX_MS,
    PAUSE_MAX_MS,
    Gate,
    Rate,
    allowance,
    opened,
    reserve,
)
from tests.unit.lives import NOW_MS

RATE = Rate(1, 100)


def moved(gate: Gate) -> Gate:
    """Return the gate as whoever takes a slot leaves it."""
    after, _ = reserve(gate, RATE, now_ms=NOW_MS, until_ms=NOW_MS + 1000, wanted=1)
    return after


@pytest.mark.parametrize(("beyond", "kept"), [(0, True), (1, False)])
def test_a_pause_is_believed_up_to_its_limit_and_forgotten_beyond(
    beyond: int, *, kept: bool
) -> None:
    gate = Gate("google", paused_until=NOW_MS + PAUSE_MAX_MS + beyond)

    assert moved(gate).paused_until == (gate.paused_until if kept else 0)
    assert allowance(gate, now_ms=NOW_MS, run_id="r") == (0 if kept else None)


@pytest.mark.parametrize(("beyond", "kept"), [(0, True), (1, False)])
def test_a_breaker_opened_in_the_future_counts_from_now(beyond: int, *, kept: bool) -> None:
    gate = opened(Gate("google"), "suspect", NOW_MS + AHEAD_MAX_MS + beyond)

    assert moved(gate).opened_at == (gate.opened_at if kept else NOW_MS)


@pytest.mark.parametrize(("beyond", "kept"), [(0, True), (1, False)])
def test_a_slot_far_ahead_shuts_nothing(beyond: int, *, kept: bool) -> None:
    far = NOW_MS + AHEAD_MAX_MS + beyond
    gate = msgspec.structs.replace(Gate("google"), slots=(far,))

    _, taken = reserve(gate, RATE, now_ms=NOW_MS, until_ms=far + 1000, wanted=1)

    assert taken == [far + RATE.period_ms if kept else NOW_MS]


def test_nothing_was_ever_asked_of_a_new_gate() -> None:
    gate = Gate("google")

    assert (gate.version, gate.slots, gate.paused_until, gate.failures) == (0, (), 0, 0)
