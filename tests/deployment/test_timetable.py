"""A schedule means the same to systemd, to Kubernetes and to whoever counts missed ticks."""

from datetime import UTC, datetime
from itertools import islice

import pytest
from cronsim import CronSim

from clearlift_adapters.deployment import timetable
from tests.deployment.systemd import elapses
from tests.given import NOW_MS

SCHEDULES = (
    "*/15 * * * *",
    "7 * * * *",
    "5/20 8-18 * * 1-5",
    "0,30 */6 * * *",
    "0 3 1,15 * *",
    "0 3 1,15 * MON",  # Either is enough.
    "0 3 */10 * 1",  # Both are needed: one begins with a star.
    "15 0 * 2-12/3 7",
    "0 12 31 1,3,5 *",
    "0 0 29 2 *",
)


@pytest.mark.parametrize("cron", SCHEDULES)
def test_a_timer_elapses_exactly_when_ticks_are_expected(cron: str) -> None:
    times = 12
    simulated = CronSim(cron, datetime.fromtimestamp(NOW_MS / 1000, UTC))
    wanted = [round(at.timestamp() * 1000) for at in islice(simulated, times)]

    elapsed = elapses(timetable.on_calendar(cron), NOW_MS, times)

    assert elapsed == wanted


@pytest.mark.parametrize(
    ("cron", "spoken"),
    [
        ("*/15 * * * *", "*/15 * * * *"),
        ("5/20 8-18 * jan SUN", "5-59/20 8,9,10,11,12,13,14,15,16,17,18 * 1 0"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 1 * 1", "0 0 1 * 1"),
        ("0 0 1 * 0-6", "0 0 * * *"),  # Either: every day.
    ],
)
def test_a_cron_job_gets_numbers_that_every_parser_takes(cron: str, spoken: str) -> None:
    assert timetable.kubernetes(cron) == spoken
    assert timetable.parsed(spoken) == timetable.parsed(cron) or "0-6" in cron


def test_what_a_cron_job_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="a CronJob takes either"):
        timetable.kubernetes("0 3 */10 * 1")


@pytest.mark.parametrize(
    "cron",
    ["", "often", "* * * *", "0 * * * * *", "60 * * * *", "0 0 L * *", "0 0 * * 5#2", "0 0 * * 5L"],
)
def test_what_not_every_cron_knows_is_refused(cron: str) -> None:
    for translate in (timetable.on_calendar, timetable.kubernetes, timetable.any_time_zone):
        with pytest.raises(ValueError, match="cron"):
            translate(cron)


def test_only_what_is_the_same_at_every_hour_needs_no_time_zone() -> None:
    assert timetable.any_time_zone("*/15 * * * *")
    assert not timetable.any_time_zone("*/15 6-22 * * *")
    assert not timetable.any_time_zone("0 * * * 1")
