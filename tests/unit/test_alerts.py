"""Each alert, just below its limit and just above."""

from typing import Any, get_args

import msgspec
import pytest

from clearlift_engine.alerts import AlertName, alerts, error_rate, firing, missed, spoken
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


def test_error_rate_is_of_the_last_hour_alone() -> None:
    runs = [tick(1, due=10), tick(HOUR_MS - 1, due=10, failed=1), tick(HOUR_MS, due=9, failed=9)]

    assert error_rate(msgspec.structs.replace(QUIET, runs=runs)) == 1 / 20
    assert error_rate(QUIET) == 0


def test_violation_of_one_audit_is_not_undone_by_another_kind() -> None:
    runs = [audit("replay", "done", 1), audit("audit verify", "violated", 2)]

    assert firing(msgspec.structs.replace(QUIET, runs=runs))


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
