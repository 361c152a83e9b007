"""Histories that every change has to survive; `just simulate` plays as many more as wanted."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.history import play
from tests.simulation.sabotage import planted

ROOT: Final = Path(__file__).parents[2]
BLOCK: Final = 500
BLOCKS: Final = 6  # As many as take some ten seconds, on a machine with other things to do.


@pytest.mark.parametrize("number", range(BLOCKS))
def test_no_history_breaks_a_promise(number: int) -> None:
    first = 1 + number * BLOCK

    broken = {seed: play(seed).violations for seed in range(first, first + BLOCK)}

    assert not {seed: violations for seed, violations in broken.items() if violations}


@pytest.mark.parametrize(
    ("seed", "bug"),
    [
        # A tick thaws after 70 minutes, and a rival has just claimed what it wants.
        (178, "lease judged by when the tick began"),
        # Another one ends a lease that has run out, and says that it did so an hour before.
        (144_484, "dated by when the tick began"),
    ],
)
def test_worker_frozen_for_longer_than_any_lease_knows_what_time_it_is(seed: int, bug: str) -> None:
    played = play(seed)
    with planted(bug):
        as_it_was = play(seed)

    assert not played.violations
    assert any("lease had not run out" in each for each in as_it_was.violations)


def test_seed_gives_the_same_history_whatever_was_played_before() -> None:
    forwards = [play(seed).trace_hash for seed in range(1, 11)]

    backwards = [play(seed).trace_hash for seed in reversed(range(1, 11))]

    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(forwards)


def test_seed_gives_the_same_history_in_any_process() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "1..20"]

    digests = {
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[-1]
        for seed in ("0", "1", "4711")
    }

    assert len(digests) == 1


def test_histories_hold_all_that_may_happen() -> None:
    played = [play(seed) for seed in range(1, 301)]

    text = "\n".join(line for each in played for line in each.trace)

    for what in ("killed", "frozen for", "is away", "does not answer", "answer was lost"):
        assert what in text
    for fate in ("well", "lost", "stalled", "late", "down", "throttled", "lie", "confused"):
        assert f": {fate}" in text
    for act in ("reconnects", "revokes", "is active: 0", "deletes", "asks for a sync"):
        assert act in text
    for word in ("pause c", "resume c", "retry c", "recorded"):
        assert word in text
