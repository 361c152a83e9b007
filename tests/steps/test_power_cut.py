"""Cut the power at any moment: what was acknowledged is there, and the worker just goes on.

Here a slice of the images; `python -m tests.steps cut` builds as many as one likes.
"""

from pathlib import Path

import pytest

from tests.steps.power import HISTORIES, PowerCuts
from tests.steps.processes import Warm
from tests.steps.sweep import JOURNALS, Journal

IMAGES = 30


@pytest.mark.parametrize("journal", JOURNALS)
@pytest.mark.parametrize("name", HISTORIES)
async def test_nothing_acknowledged_is_lost_with_the_power(
    name: str, journal: Journal, forge: Warm, quick_path: Path
) -> None:
    cuts = PowerCuts(forge, quick_path, name, journal)
    await cuts.record()

    outcome = await cuts.run(IMAGES)

    assert not outcome.broken
    assert outcome.points == IMAGES


async def test_a_disk_that_only_claims_to_sync_does_lose_it(forge: Warm, quick_path: Path) -> None:
    cuts = PowerCuts(forge, quick_path, "tick and relay", "write-ahead log")
    await cuts.record()
    cuts.steps = [step for step in cuts.steps if step.call != "sync"]

    outcome = await cuts.run(IMAGES)

    assert outcome.broken
