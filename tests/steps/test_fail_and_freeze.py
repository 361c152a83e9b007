"""Calls that fail, once or from then on, and processes that sleep past every lease.

Here a slice; `python -m tests.steps fail` and `freeze` take every step.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.steps.points import ERRORS, STOPS
from tests.steps.processes import Warm
from tests.steps.scenes import SCENES
from tests.steps.sweep import JOURNALS, Journal, Sweep, broken

FEW: Final = 61


@pytest.mark.parametrize("journal", JOURNALS)
@pytest.mark.parametrize("name", ["tick", "relay"])
async def test_a_broken_disk_or_a_full_one_is_said_and_harms_nothing(
    name: str, journal: Journal, forge: Warm, quick_path: Path
) -> None:
    sweep = Sweep(forge, quick_path, name, SCENES[name], journal)
    await sweep.prepare()

    outcomes = [await sweep.run(mode, every=FEW) for mode in ERRORS]

    assert not broken(outcomes)
    assert all(outcome.points for outcome in outcomes)


@pytest.mark.parametrize("name", ["tick", "tick, refreshing", "relay"])
async def test_worker_that_slept_past_its_leases_does_no_harm(
    name: str, forge: Warm, quick_path: Path
) -> None:
    sweep = Sweep(forge, quick_path, name, SCENES[name], "write-ahead log")
    await sweep.prepare()

    outcomes = [await sweep.run(mode, every=FEW) for mode in STOPS]

    assert not broken(outcomes)
    assert all(outcome.points for outcome in outcomes)
