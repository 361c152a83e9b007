"""The schedule that ticks are expected on."""

import pytest

from clearlift_adapters.cli.schedule import expected, next_after
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.policy import HOUR_MS, MINUTE_MS
from tests.given import NOW_MS

QUARTERLY = "*/15 * * * *"


def test_times_are_those_after_one_moment_and_up_to_another() -> None:
    times = expected(QUARTERLY, after_ms=NOW_MS, until_ms=NOW_MS + HOUR_MS)

    assert times == [NOW_MS + quarter * 15 * MINUTE_MS for quarter in (1, 2, 3, 4)]


def test_times_are_in_utc() -> None:
    assert next_after("30 3 * * *", NOW_MS) == NOW_MS + 15 * HOUR_MS + 30 * MINUTE_MS


@pytest.mark.parametrize(
    "cron", ["", "often", "* * * *", "61 * * * *", "@hourly", "*/0 * * * *", "0 0 31 4 *"]
)
def test_what_is_no_schedule_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(ConfigurationError, match=r"CLEARLIFT_CRON is .*such as \*/15"):
        next_after(cron, NOW_MS)
