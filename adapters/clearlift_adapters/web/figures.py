"""The strip of ticks and the two plots: from runs to coordinates."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Final, Literal

import msgspec

from clearlift_engine.alerts import LATE_MS, missed, spoken
from clearlift_engine.overview import Overview, RunFact
from clearlift_engine.policy import DAY_MS, HOUR_MS, MINUTE_MS, iso

Kind = Literal["came", "trouble", "missed", "awaited"]
_WORST_FIRST: Final[tuple[Kind, ...]] = ("missed", "trouble", "awaited", "came")
_TALL: Final = {"came": 40, "trouble": 26, "missed": 10, "awaited": 4}

STRIP_WIDTH: Final = 960
STRIP_HEIGHT: Final = 44
SLOTS_MAX: Final = 96  # Bars: of a schedule by the minute, one stands for fifteen ticks.

SECOND_MS: Final = 1_000

PLOT_WIDTH: Final = 360
PLOT_HEIGHT: Final = 170
LEFT, RIGHT, TOP, BOTTOM = 44, 354, 10, 146  # The field inside the axes.


class Slot(msgspec.Struct, frozen=True):
    """A bar of the strip: its height says what became of the ticks, its colour says it again."""

    x: float
    width: float
    height: int
    kind: Kind

    @property
    def y(self) -> int:
        """Return its upper edge."""
        return STRIP_HEIGHT - self.height


class Strip(msgspec.Struct, frozen=True):
    """The ticks that the schedule wanted in the last day."""

    slots: Sequence[Slot]
    expected: int
    missed: Sequence[int]
    troubled: int
    per_slot: int
    first_at: int | None

    @property
    def words(self) -> str:
        """Return in words what it shows."""
        if not self.expected:
            return "No tick was expected yet."
        came = self.expected - len(self.missed)
        return (
            f"Of {counted(self.expected, 'expected tick')} {came} came; missed: "
            f"{len(self.missed)}; did not end well: {self.troubled}."
        )


class Hour(msgspec.Struct):
    """What the ticks of one hour did."""

    begins_at: int
    ticks: int = 0
    jobs: int = 0
    refreshed: int = 0
    failed: int = 0
    deferred: int = 0
    slowest_ms: int = 0


class Bar(msgspec.Struct, frozen=True):
    """An hour of the throughput plot: jobs, and failures on top."""

    x: float
    width: float
    jobs_y: float
    jobs_height: float
    failed_y: float
    failed_height: float


class Mark(msgspec.Struct, frozen=True):
    """A place on an axis."""

    at: float
    text: str


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A plot over the last day."""

    xs: Sequence[Mark]
    ys: Sequence[Mark]
    bars: Sequence[Bar] = ()
    dots: Sequence[tuple[float, float]] = ()
    words: str


def strip(seen: Overview) -> Strip:
    """Return the strip of ticks."""
    slots, ticks = seen.expected_ticks, seen.ticks
    absent = missed(slots, ticks, seen.at)
    kinds = _kinds(slots, ticks, set(absent), seen.at)
    size = max(ceil(len(kinds) / SLOTS_MAX), 1)
    groups = [kinds[start : start + size] for start in range(0, len(kinds), size)]
    pitch = STRIP_WIDTH / max(len(groups), 1)
    bars: list[Slot] = []
    for number, group in enumerate(groups):
        worst = min(group, key=_WORST_FIRST.index)
        bars.append(Slot(round(number * pitch, 2), round(pitch * 0.8, 2), _TALL[worst], worst))
    first_at = slots[0] if slots else None
    return Strip(bars, len(slots), absent, kinds.count("trouble"), size, first_at)


def _kinds(
    slots: Sequence[int], ticks: Sequence[RunFact], absent: set[int], now_ms: int
) -> list[Kind]:
    """Return what became of each expected tick."""
    kinds: list[Kind] = []
    oldest_first = sorted(ticks, key=lambda run: run.started_at)
    number = 0
    for slot, end in pairwise([*slots, now_ms + 1]):
        while number < len(oldest_first) and oldest_first[number].started_at < slot - LATE_MS:
            number += 1
        mine: list[RunFact] = []
        for run in oldest_first[number:]:
            if run.started_at >= end:
                break
            mine.append(run)
        if slot in absent:
            kinds.append("missed")
        elif not mine:
            kinds.append("awaited")
        else:
            kinds.append("came" if all(map(_went_well, mine)) else "trouble")
    return kinds


def _went_well(run: RunFact) -> bool:
    return run.outcome in ("done", None)  # None: it is at work.


def hours(seen: Overview) -> Sequence[Hour]:
    """Return the hours of the last day, oldest first, with what their ticks did."""
    last = seen.at // HOUR_MS * HOUR_MS
    first = last - DAY_MS + HOUR_MS
    found = [Hour(at) for at in range(first, last + 1, HOUR_MS)]
    for run in seen.ticks:
        if first <= run.started_at <= seen.at:
            hour = found[(run.started_at - first) // HOUR_MS]
            hour.ticks += 1
            hour.jobs += run.jobs_created
            hour.refreshed += run.refreshed
            hour.failed += run.failed
            hour.deferred += run.deferred
            hour.slowest_ms = max(hour.slowest_ms, duration_of(run) or 0)
    return found


def duration_of(run: RunFact) -> int | None:
    """Return how long a run took, if it has ended."""
    if run.duration_ms is not None:
        return run.duration_ms
    return None if run.finished_at is None else run.finished_at - run.started_at


def throughput(found: Sequence[Hour]) -> Plot:
    """Return jobs and failures by the hour."""
    top = _round_up(max((hour.jobs + hour.failed for hour in found), default=0))
    pitch = (RIGHT - LEFT) / max(len(found), 1)
    scale = (BOTTOM - TOP) / top
    bars = [
        _bar(LEFT + pitch * (n + 0.12), pitch * 0.76, hour, scale) for n, hour in enumerate(found)
    ]
    jobs, failed = sum(hour.jobs for hour in found), sum(hour.failed for hour in found)
    best = max(found, key=lambda hour: hour.jobs)
    words = (
        f"{counted(jobs, 'job')} created and {counted(failed, 'failure')} in the "
        f"{counted(len(found), 'hour')} shown; most jobs in the hour from "
        f"{iso(best.begins_at)[11:16]} UTC: {best.jobs:,}."
    )
    xs = [
        Mark(round(LEFT + pitch * number, 1), iso(hour.begins_at)[11:16])
        for number, hour in enumerate(found)
        if hour.begins_at // HOUR_MS % 6 == 0 and number < len(found) - 1  # It needs room.
    ]
    ys = [Mark(round(BOTTOM - value * scale, 1), f"{value:,.0f}") for value in _steps(top, 1)]
    return Plot(xs=xs, ys=ys, bars=bars, words=words)


def _bar(x: float, width: float, hour: Hour, scale: float) -> Bar:
    jobs, failed = hour.jobs * scale, hour.failed * scale
    edges = (BOTTOM - jobs, jobs, BOTTOM - jobs - failed, failed)
    return Bar(round(x, 1), round(width, 1), *(round(edge, 1) for edge in edges))


def durations(seen: Overview) -> Plot:
    """Return how long each tick of the last day took."""
    first = seen.at - DAY_MS
    ended = [
        (run.started_at, took)
        for run in seen.ticks
        if (took := duration_of(run)) is not None and run.started_at >= first
    ]
    longest = max((took for _, took in ended), default=0)
    top = _round_up(longest)
    across = (RIGHT - LEFT) / DAY_MS
    dots = [
        (
            round(LEFT + (at - first) * across, 1),
            round(BOTTOM - took * (BOTTOM - TOP) / top, 1),
        )
        for at, took in ended
    ]
    words = "No tick has ended yet."
    if ended:
        usual = median(took for _, took in ended)
        half, most = lasting(usual), lasting(longest)
        words = f"{counted(len(ended), 'tick')}: half took {half} or less, the longest {most}."
    begin = (first // HOUR_MS + 1) * HOUR_MS
    xs = [
        Mark(round(LEFT + (at - first) * across, 1), iso(at)[11:16])
        for at in range(begin, seen.at - HOUR_MS, HOUR_MS)
        if at // HOUR_MS % 6 == 0
    ]
    ys = [
        Mark(round(BOTTOM - value * (BOTTOM - TOP) / top, 1), lasting(value))
        for value in _steps(top, 0)
    ]
    return Plot(xs=xs, ys=ys, dots=dots, words=words)


def lasting(ms: float) -> str:
    """Return a short stretch of time: 12 ms, 3.4 s, 5 min."""
    if ms < SECOND_MS:
        return f"{ms:.0f} ms"
    return f"{ms / SECOND_MS:.1f} s" if ms < 2 * MINUTE_MS else spoken(round(ms))


def _round_up(value: float) -> float:
    """Return the next number that an axis may end with: 1, 2, 4, 5 or 10 times a power of ten."""
    size = 1.0
    while size * 10 < value:
        size *= 10
    return next(size * step for step in (1, 2, 4, 5, 10) if size * step >= value)


def _steps(top: float, least: float) -> Sequence[float]:
    return [0, top / 2, top] if top > least else [0, top]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 job, 2 jobs."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
