"""A cron expression in the words of systemd and of Kubernetes, where they can say the same.

What counts is Debian's cron, as CLEARLIFT_CRON is read: where day of month and day of week are
both restricted and neither begins with a star, either is enough; else both must hold. systemd asks
for both, so that "either" is two lines. Kubernetes has "either" alone: robfig/cron, which it uses,
does not count `*/2` as a star.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from cronsim import CronSim, CronSimError

MINUTES: Final = range(60)
HOURS: Final = range(24)
DAYS: Final = range(1, 32)
MONTHS: Final = range(1, 13)
WEEKDAYS: Final = range(7)  # 0 is Sunday.

_NAMES: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_FIELDS: Final = 5


class Timetable(NamedTuple):
    """When it is time: the numbers that each field allows."""

    minutes: Collection[int]
    hours: Collection[int]
    days: Collection[int]
    months: Collection[int]
    weekdays: Collection[int]
    either: bool  # Whether one of days and weekdays is enough.

    @property
    def every_day(self) -> bool:
        """Return whether neither the day of the month nor that of the week matters."""
        full = (_full(self.days, DAYS), _full(self.weekdays, WEEKDAYS))
        return any(full) if self.either else all(full)


def parsed(cron: str) -> Timetable:
    """Return what a cron expression of five fields allows.

    Raises:
        ValueError: it is none, or one that only some crons know.
    """
    if len(cron.split()) != _FIELDS:
        raise ValueError(f"{cron!r} is not a cron expression of five fields, such as */15 * * * *")
    try:
        # It is not asked for a time: any moment does.
        found = CronSim(cron, datetime(1970, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        raise ValueError(f"{cron!r} is not a cron expression: {exc}") from None
    weekdays = {day % 7 for day in found.weekdays if isinstance(day, int)}
    if min(found.days) < 0 or len(weekdays) < len({_weekday(day) for day in found.weekdays}):
        raise ValueError(f"{cron!r} has an L or a #, which only some crons know")
    return Timetable(
        found.minutes, found.hours, found.days, found.months, weekdays, either=not found.day_and
    )


def on_calendar(cron: str) -> Sequence[str]:
    """Return the times as systemd has them, one for each line OnCalendar=.

    Raises:
        ValueError: it cannot be read.
    """
    when = parsed(cron)
    months, days = _spoken(when.months, MONTHS), _spoken(when.days, DAYS)
    clock = f"{_spoken(when.hours, HOURS)}:{_spoken(when.minutes, MINUTES)}:00 UTC"
    weekdays = ",".join(_NAMES[day] for day in sorted(when.weekdays))
    if when.every_day:
        return [f"*-{months}-* {clock}"]
    if when.either:
        return [f"*-{months}-{days} {clock}", f"{weekdays} *-{months}-* {clock}"]
    if _full(when.weekdays, WEEKDAYS):
        return [f"*-{months}-{days} {clock}"]
    return [f"{weekdays} *-{months}-{days} {clock}"]


def kubernetes(cron: str) -> str:
    """Return the expression as a CronJob has it.

    Raises:
        ValueError: it cannot be read, or a CronJob cannot say the same.
    """
    when = parsed(cron)
    days, weekdays = ("*" if _full(when.days, DAYS) else _listed(when.days)), "*"
    if not _full(when.weekdays, WEEKDAYS):
        weekdays = _listed(when.weekdays)
    if when.every_day:
        days = weekdays = "*"
    elif not when.either and "*" not in {days, weekdays}:
        raise ValueError(
            f"{cron!r} asks for a day of the month that is also a day of the week: a CronJob takes "
            "either, so it cannot say that; name one of the two"
        )
    return " ".join(
        (
            _stepped(when.minutes, MINUTES),
            _stepped(when.hours, HOURS),
            days,
            _stepped(when.months, MONTHS),
            weekdays,
        )
    )


def any_time_zone(cron: str) -> bool:
    """Return whether the times are the same whatever full hour the clock is ahead or behind."""
    when = parsed(cron)
    return when.every_day and _full(when.hours, HOURS) and _full(when.months, MONTHS)


def _weekday(day: int | tuple[int, int]) -> int | tuple[int, int]:
    return day % 7 if isinstance(day, int) else day


def _full(values: Collection[int], all_of: range) -> bool:
    return set(values) >= set(all_of)


def _spoken(values: Collection[int], all_of: range) -> str:
    """Return a part of systemd's calendar: `a/b` goes on from a to the end of the field."""
    if _full(values, all_of):
        return "*"
    step = _step(values, all_of)
    return _listed(values) if step is None else f"{min(values)}/{step}"


def _stepped(values: Collection[int], all_of: range) -> str:
    """Return a field of a crontab."""
    if _full(values, all_of):
        return "*"
    step = _step(values, all_of)
    if step is None:
        return _listed(values)
    begin = "*" if min(values) == all_of[0] else f"{min(values)}-{all_of[-1]}"
    return f"{begin}/{step}"


def _listed(values: Collection[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _step(values: Collection[int], all_of: range) -> int | None:
    """Return the step, if the values go on evenly from the first to the end of the field."""
    ordered = sorted(values)
    if len(ordered) < 3:  # noqa: PLR2004  two are shorter as a list
        return None
    step = ordered[1] - ordered[0]
    return step if ordered == list(range(ordered[0], all_of[-1] + 1, step)) else None
