"""Some seconds of storm; `python -m tests.steps storm --minutes 10` is the whole of it."""

from pathlib import Path

from tests.steps.processes import Warm
from tests.steps.storm import storm

SECONDS = 6


async def test_nothing_is_lost_or_done_twice_in_a_storm(forge: Warm, quick_path: Path) -> None:
    weather = await storm(forge, quick_path, SECONDS, seed=1)

    assert not weather.broken
    assert weather.processes["killed"]
    assert weather.jobs
