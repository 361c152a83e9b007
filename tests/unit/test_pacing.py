"""Pacing and the breaker: never more than the rate, and as early as the rate allows."""

from bisect import bisect_left

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_engine.pacing import (
    AHEAD_MAX_MS,
    FAILURES_TO_OPEN,
    PAUSE_MAX_MS,
    BreakerReason,
    Gate,
    Rate,
    allowance,
    opened,
    paused,
    reserve,
    stumbled,
    succeeded,
)
from tests.unit.lives import HOUR_MS, NOW_MS

MINUTE_MS = 60_000
HOURLY = Rate(200, HOUR_MS)
BROKEN = opened(Gate("google"), "provider_down", NOW_MS)


def most_in_any(period_ms: int, slots: list[int]) -> int:
    """Return how many of `slots` at most lie in one half-open period."""
    return max(bisect_left(slots, slot + period_ms) - at for at, slot in enumerate(slots))


@given(
    st.builds(Rate, st.integers(1, 20), st.integers(1, 5000)),
    st.lists(
        st.tuples(st.integers(-2000, 8000), st.integers(0, 6000), st.integers(1, 50)),
        min_size=1,
        max_size=25,
    ),
)
def test_no_period_ever_holds_more_than_the_count_however_runs_interleave(
    rate: Rate, steps: list[tuple[int, int, int]]
) -> None:
    gate, now_ms, slots = Gate("any"), NOW_MS, list[int]()

    for step, patience, wanted in steps:  # A negative step: another machine's clock is behind.
        now_ms += step
        until_ms = now_ms + patience
        gate, taken = reserve(gate, rate, now_ms=now_ms, until_ms=until_ms, wanted=wanted)
        assert len(taken) <= wanted
        assert all(now_ms <= slot <= until_ms for slot in taken)
        slots += taken

    assert slots == sorted(slots)
    assert len(gate.slots) <= rate.count
    assert not slots or most_in_any(rate.period_ms, slots) <= rate.count


@given(st.integers(1, 30), st.integers(1, 1000), st.integers(1, 200))
def test_slots_are_taken_as_early_as_the_rate_allows(
    count: int, period_ms: int, wanted: int
) -> None:
    far = NOW_MS + wanted * period_ms

    _, taken = reserve(
        Gate("any"), Rate(count, period_ms), now_ms=NOW_MS, until_ms=far, wanted=wanted
    )

    assert list(taken) == [NOW_MS + period_ms * (number // count) for number in range(wanted)]


def test_two_hundred_an_hour_go_at_once_and_the_next_exactly_an_hour_later() -> None:
    gate, first = reserve(Gate("facebook"), HOURLY, now_ms=NOW_MS, until_ms=NOW_MS, wanted=400)
    again_ms = NOW_MS + HOUR_MS

    _, early = reserve(gate, HOURLY, now_ms=again_ms - 1, until_ms=again_ms - 1, wanted=400)
    _, later = reserve(gate, HOURLY, now_ms=again_ms, until_ms=again_ms, wanted=400)

    assert len(first) == 200
    assert len(early) == 0
    assert len(later) == 200


def test_what_was_spread_over_an_hour_comes_free_as_it_was_taken() -> None:
    gate, taken = Gate("facebook"), list[int]()

    for quarter in range(8):  # 60 at each tick: 60, 60, 60, 20 and then the same again.
        now_ms = NOW_MS + quarter * 15 * MINUTE_MS
        gate, slots = reserve(gate, HOURLY, now_ms=now_ms, until_ms=now_ms, wanted=60)
        taken.append(len(slots))

    assert taken == [60, 60, 60, 20, 60, 60, 60, 20]


def test_a_slot_at_the_deadline_is_taken_and_one_past_it_is_not() -> None:
    gate, _ = reserve(Gate("g"), Rate(1, 100), now_ms=NOW_MS, until_ms=NOW_MS, wanted=1)

    _, at = reserve(gate, Rate(1, 100), now_ms=NOW_MS, until_ms=NOW_MS + 100, wanted=2)
    _, before = reserve(gate, Rate(1, 100), now_ms=NOW_MS, until_ms=NOW_MS + 99, wanted=2)

    assert list(at) == [NOW_MS + 100]
    assert list(before) == []


def test_a_smaller_rate_holds_at_once_for_what_was_taken_under_a_larger_one() -> None:
    gate, _ = reserve(Gate("g"), Rate(10, 1000), now_ms=NOW_MS, until_ms=NOW_MS, wanted=10)

    _, taken = reserve(gate, Rate(2, 1000), now_ms=NOW_MS, until_ms=NOW_MS + 1000, wanted=9)

    assert list(taken) == [NOW_MS + 1000, NOW_MS + 1000]


def test_reserving_moves_the_slots_of_a_gate_and_nothing_else() -> None:
    moved, _ = reserve(BROKEN, HOURLY, now_ms=NOW_MS, until_ms=NOW_MS, wanted=3)

    assert moved == msgspec.structs.replace(BROKEN, slots=(NOW_MS,) * 3)


def test_a_gate_without_trouble_allows_any_number() -> None:
    assert allowance(Gate("google"), now_ms=NOW_MS, run_id="r") is None


def test_a_pause_allows_nothing_until_it_is_over() -> None:
    gate = paused(Gate("google"), NOW_MS + 1)

    assert allowance(gate, now_ms=NOW_MS, run_id="r") == 0
    assert allowance(gate, now_ms=NOW_MS + 1, run_id="r") is None


@pytest.mark.parametrize(("ahead_ms", "allowed"), [(0, 0), (1, None)])
def test_a_pause_is_believed_as_far_ahead_as_one_can_be(ahead_ms: int, allowed: int | None) -> None:
    gate = paused(Gate("google"), NOW_MS + PAUSE_MAX_MS + ahead_ms)

    assert allowance(gate, now_ms=NOW_MS, run_id="r") == allowed


@pytest.mark.parametrize(("ahead_ms", "waits"), [(0, True), (1, False)])
def test_a_slot_is_believed_as_far_ahead_as_one_can_be(ahead_ms: int, *, waits: bool) -> None:
    gate = Gate("google", slots=(NOW_MS + AHEAD_MAX_MS + ahead_ms,))

    moved, taken = reserve(gate, Rate(1, 100), now_ms=NOW_MS, until_ms=NOW_MS, wanted=1)

    assert taken == ([] if waits else [NOW_MS])
    assert moved.slots == (gate.slots if waits else (NOW_MS,))


def test_a_pause_is_heard_of_though_a_wrong_clock_had_set_a_longer_one() -> None:
    wrong = opened(paused(Gate("google"), NOW_MS + 2 * PAUSE_MAX_MS), "suspect", NOW_MS + HOUR_MS)

    moved, _ = reserve(wrong, Rate(1, 100), now_ms=NOW_MS, until_ms=NOW_MS, wanted=1)
    again = paused(moved, NOW_MS + 50)

    assert (moved.paused_until, moved.opened_at) == (0, NOW_MS)
    assert allowance(again, now_ms=NOW_MS + 49, run_id="r") == 0


def test_a_shorter_pause_does_not_cut_a_longer_one() -> None:
    gate = paused(paused(Gate("google"), NOW_MS + 100), NOW_MS + 50)

    assert gate.paused_until == NOW_MS + 100


def test_a_pause_outlasts_the_answer_to_a_request_that_was_on_its_way() -> None:
    gate = paused(stumbled(Gate("google"), NOW_MS), NOW_MS + 100)

    assert allowance(succeeded(gate), now_ms=NOW_MS, run_id="r") == 0


def test_the_fifth_transient_failure_in_a_row_opens_the_breaker_and_no_earlier() -> None:
    gate = Gate("google")
    for _ in range(FAILURES_TO_OPEN - 1):
        gate = stumbled(gate, NOW_MS)

    fifth = stumbled(gate, NOW_MS + 7)

    assert FAILURES_TO_OPEN == 5
    assert (gate.breaker, gate.failures) == (None, 4)
    assert (fifth.breaker, fifth.opened_at) == ("provider_down", NOW_MS + 7)


def test_a_success_in_between_begins_the_count_anew() -> None:
    gate = Gate("google")
    for _ in range(FAILURES_TO_OPEN - 1):
        gate = stumbled(gate, NOW_MS)

    gate = stumbled(succeeded(gate), NOW_MS)

    assert (gate.breaker, gate.failures) == (None, 1)


def test_an_open_breaker_allows_each_run_one_probe() -> None:
    probed = msgspec.structs.replace(BROKEN, probe_run="run-1")

    assert allowance(BROKEN, now_ms=NOW_MS, run_id="run-1") == 1
    assert allowance(probed, now_ms=NOW_MS, run_id="run-1") == 0
    assert allowance(probed, now_ms=NOW_MS, run_id="run-2") == 1


def test_a_probe_that_fails_leaves_the_breaker_open_since_when_it_was() -> None:
    again = stumbled(BROKEN, NOW_MS + HOUR_MS)

    assert (again.breaker, again.opened_at) == ("provider_down", NOW_MS)
    assert again.failures == BROKEN.failures + 1


def test_a_probe_that_succeeds_closes_the_breaker_altogether() -> None:
    probed = msgspec.structs.replace(BROKEN, probe_run="run-1", failures=9)

    assert succeeded(probed) == Gate("google")


@pytest.mark.parametrize("reason", ["provider_down", "configuration", "suspect"])
def test_opening_what_is_open_for_the_same_reason_changes_nothing(reason: BreakerReason) -> None:
    gate = opened(Gate("google"), reason, NOW_MS)

    assert opened(gate, reason, NOW_MS + 1) == gate
    assert (gate.breaker, gate.opened_at) == (reason, NOW_MS)


def test_a_success_of_a_gate_without_trouble_leaves_it_untouched() -> None:
    gate, _ = reserve(Gate("google"), HOURLY, now_ms=NOW_MS, until_ms=NOW_MS, wanted=1)

    assert succeeded(gate) is gate
