"""When ticks are expected: CLEARLIFT_CRON, a cron expression of five fields, in UTC."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice, pairwise, takewhile
from typing import Final

from cronsim import CronSim, CronSimError

from clearlift_engine.errors import ConfigurationError

_TICKS: Final = 8  # So many are looked at for the longest gap between two.


def expected(cron: str, *, after_ms: int, until_ms: int) -> Sequence[int]:
    """Return the times of the schedule after one moment and up to another, ascending, in ms.

    Raises:
        ConfigurationError: it is not a cron expression.
    """
    return list(takewhile(lambda at: at <= until_ms, _times(cron, after_ms)))


def next_after(cron: str, now_ms: int) -> int:
    """Return the schedule's next time.

    Raises:
        ConfigurationError: it is not a cron expression.
    """
    return next(_times(cron, now_ms))


def longest_gap(cron: str, now_ms: int) -> int:
    """Return the longest time between two of the schedule's next ticks, in ms.

    Raises:
        ConfigurationError: it is not a cron expression.
    """
    times = islice(_times(cron, now_ms), _TICKS)
    return max(later - sooner for sooner, later in pairwise(times))


def _times(cron: str, after_ms: int) -> Iterator[int]:
    try:
        simulated = CronSim(cron, datetime.fromtimestamp(after_ms / 1000, UTC))
    except CronSimError as exc:
        raise ConfigurationError(
            f"CLEARLIFT_CRON is {cron[:80]!r}: {exc}; it must be a cron expression of five fields, "
            "such as */15 * * * *"
        ) from None
    return (round(at.timestamp() * 1000) for at in simulated)
