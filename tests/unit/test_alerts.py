"""Each alert, just below its limit and just above."""

from typing import Any, get_args

import msgspec
import pytest

from clearlift_engine.alerts import (
    LATE_MS,
    RECENT_TICKS,
    AlertName,
    alerts,
    error_rate,
    firing,
    missed,
    spoken,
)
from clearlift_engine.overview import Backlog, Overview, RunFact
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import DAY_MS, HOUR_MS, MINUTE_MS
from clearlift_engine.ports import Depth
from tests.given import NOW_MS

QUARTER_MS = 15 * MINUTE_MS
QUIET = Overview(
    at=NOW_MS, crowds=[], backlog=Backlog(0), queue=Depth(0), gates=[], runs=[], worst=[]
)


def tick(ago_ms: int, *, due: int = 0, failed: int = 0) -> RunFact:
    at_ms = NOW_MS - ago_ms
    return RunFact("r", "tick", at_ms, at_ms + 1, "done", due=due, failed=failed)


def audit(command: str, outcome: str, ago_ms: int) -> RunFact:
    return RunFact("r", command, NOW_MS - ago_ms, NOW_MS, outcome)


BELOW_AND_ABOVE: dict[AlertName, tuple[dict[str, Any], dict[str, Any]]] = {
    "error_rate": (
        {"runs": [tick(1, due=100, failed=10)]},
        {"runs": [tick(1, due=100, failed=11)]},
    ),
    "queue_depth": ({"queue": Depth(500)}, {"queue": Depth(501)}),
    "oldest_message": (
        {"queue": Depth(1, NOW_MS - HOUR_MS)},
        {"queue": Depth(1, NOW_MS - HOUR_MS - 1)},
    ),
    "missed_ticks": (
        {"expected_ticks": [NOW_MS - QUARTER_MS]},
        {"expected_ticks": [NOW_MS - 2 * QUARTER_MS, NOW_MS - QUARTER_MS]},
    ),
    "stuck_relay": (
        {"backlog": Backlog(3, NOW_MS - 2 * QUARTER_MS)},
        {"backlog": Backlog(3, NOW_MS - 2 * QUARTER_MS - 1)},
    ),
    "provider_breaker": (
        {"gates": [Gate("google", failures=4)]},
        {"gates": [Gate("google", breaker="provider_down", opened_at=NOW_MS)]},
    ),
    "audit_violation": (
        {"runs": [audit("replay", "done", 1), audit("replay", "violated", 2)]},
        {"runs": [audit("replay", "violated", 1), audit("replay", "done", 2)]},
    ),
}


def test_nothing_fires_when_all_is_quiet_and_every_rule_is_told() -> None:
    assert [alert.name for alert in alerts(QUIET)] == list(get_args(AlertName))
    assert not firing(QUIET)


@pytest.mark.parametrize("name", sorted(BELOW_AND_ABOVE))
def test_rule_fires_above_its_limit_and_not_at_it(name: AlertName) -> None:
    below, above = BELOW_AND_ABOVE[name]

    at_limit = firing(msgspec.structs.replace(QUIET, **below))
    [fired] = firing(msgspec.structs.replace(QUIET, **above))

    assert not at_limit
    assert fired.name == name
    assert fired.value > fired.limit
    assert fired.sentence
    assert fired.next_step


SAID: dict[AlertName, tuple[float, float, str, str]] = {
    "error_rate": (
        0.11,
        0.10,
        "0.0% of the connections that were due in the last hour failed",
        "11.0% of the connections that were due in the last hour failed",
    ),
    "queue_depth": (501, 500, "0 messages are in the queue", "501 messages are in the queue"),
    "oldest_message": (
        3600.001,
        3600,
        "the oldest message has been in the queue for 0 s",
        "the oldest message has been in the queue for 60 min",
    ),
    "missed_ticks": (
        2,
        1,
        "0 of the last 0 ticks did not come",
        "2 of the last 2 ticks did not come",
    ),
    "stuck_relay": (
        1800.001,
        1800,
        "0 jobs wait for the relay, the oldest for 0 s",
        "3 jobs wait for the relay, the oldest for 30 min",
    ),
    "provider_breaker": (
        1,
        0,
        "every provider is well",
        "the breaker is open of google (provider_down)",
    ),
    "audit_violation": (
        1,
        0,
        "no audit of the last day found any",
        "the newest audit found a violation",
    ),
}


@pytest.mark.parametrize("name", sorted(SAID))
def test_rule_says_its_value_in_the_unit_of_its_limit(name: AlertName) -> None:
    value, limit, quiet, loud = SAID[name]
    [fired] = firing(msgspec.structs.replace(QUIET, **BELOW_AND_ABOVE[name][1]))
    [still] = [alert for alert in alerts(QUIET) if alert.name == name]

    assert (fired.value, fired.limit, fired.sentence) == (value, limit, loud)
    assert (still.value, still.sentence) == (0, quiet)


def test_queue_that_does_not_answer_is_as_good_as_empty() -> None:
    assert alerts(msgspec.structs.replace(QUIET, queue=None)) == alerts(QUIET)


def test_clock_that_is_behind_makes_nothing_old() -> None:
    ahead = NOW_MS + HOUR_MS
    seen = msgspec.structs.replace(QUIET, queue=Depth(1, ahead), backlog=Backlog(1, ahead))

    assert {alert.value for alert in alerts(seen) if alert.name != "queue_depth"} == {0}


def test_error_rate_is_of_the_last_hour_alone() -> None:
    runs = [tick(1, due=10), tick(HOUR_MS - 1, due=10, failed=1), tick(HOUR_MS, due=9, failed=9)]

    assert error_rate(msgspec.structs.replace(QUIET, runs=runs)) == 1 / 20
    assert error_rate(QUIET) == 0


def test_violation_of_one_audit_is_not_undone_by_another_kind() -> None:
    runs = [audit("replay", "done", 1), audit("audit verify", "violated", 2)]

    assert firing(msgspec.structs.replace(QUIET, runs=runs))


def test_audit_that_has_not_ended_undoes_no_violation() -> None:
    begun = RunFact("r", "replay", NOW_MS - 1, None, None)
    runs = [begun, audit("replay", "violated", 2), audit("replay", "done", 3)]

    assert firing(msgspec.structs.replace(QUIET, runs=runs))


def test_ticks_that_were_missed_long_ago_are_history() -> None:
    expected = [NOW_MS - number * QUARTER_MS for number in range(RECENT_TICKS + 2, 0, -1)]
    ticks = [tick(NOW_MS - at_ms) for at_ms in expected]
    gap, now = ticks[2:], [*ticks[:-3], ticks[-1]]

    seen = msgspec.structs.replace(QUIET, expected_ticks=expected)

    assert not firing(msgspec.structs.replace(seen, runs=gap[::-1]))
    assert firing(msgspec.structs.replace(seen, runs=now[::-1]))


@pytest.mark.parametrize(
    ("late_ms", "came"),
    [(-LATE_MS, False), (1 - LATE_MS, True), (QUARTER_MS - 1, True), (QUARTER_MS, False)],
)
def test_tick_counts_from_a_little_before_its_time_until_the_next(
    late_ms: int, *, came: bool
) -> None:
    slots = [NOW_MS - 2 * QUARTER_MS, NOW_MS - QUARTER_MS]
    next_one = tick(QUARTER_MS)

    found = missed(slots, [tick(2 * QUARTER_MS - late_ms), next_one], NOW_MS)

    assert found == ([] if came else slots[:1])


@pytest.mark.parametrize(("since_ms", "gone"), [(LATE_MS - 1, False), (LATE_MS, True)])
def test_tick_is_missed_once_it_is_late(since_ms: int, *, gone: bool) -> None:
    assert bool(missed([NOW_MS - since_ms], [], NOW_MS)) is gone


@pytest.mark.parametrize(("late_ms", "came"), [(LATE_MS - 1, True), (LATE_MS, False)])
def test_tick_by_the_minute_may_be_later_than_the_next_is_due(late_ms: int, *, came: bool) -> None:
    slots = [NOW_MS - 10 * MINUTE_MS, NOW_MS - 9 * MINUTE_MS]

    found = missed(slots, [tick(10 * MINUTE_MS - late_ms)], NOW_MS)

    assert (slots[0] not in found) is came


def test_tick_that_is_a_little_late_or_early_is_not_missed() -> None:
    slots = [NOW_MS - 3 * QUARTER_MS, NOW_MS - 2 * QUARTER_MS, NOW_MS - QUARTER_MS, NOW_MS]
    early, late = tick(3 * QUARTER_MS + MINUTE_MS), tick(MINUTE_MS + 1)

    assert missed(slots, [early, late], NOW_MS) == [slots[1]]
    assert missed([], [late], NOW_MS) == []


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (2 * HOUR_MS, "2 h"),
        (3 * HOUR_MS + 20 * MINUTE_MS, "3 h 20 min"),
        (2 * DAY_MS, "2 d"),
        (2 * DAY_MS + 4 * HOUR_MS, "2 d 4 h"),
    ],
)
def test_stretch_of_time_is_said_in_two_units_at_most(ms: int, text: str) -> None:
    assert spoken(ms) == text
