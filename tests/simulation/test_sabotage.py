"""The simulation finds what it is there to find: bugs that were planted, each within some seeds."""

from typing import Final

import pytest

from tests.simulation.history import play
from tests.simulation.sabotage import BUGS, planted

# How many seeds, from 1 on, it may take. Most bugs show within ten.
FEW: Final = 200
RARE: Final = {
    "pause ignored": 1_000,
    "rival's live claim ended": 1_500,
    "thawed worker asks again": 1_000,
    "user's token overwritten": 1_500,
}


def first_broken(seeds_max: int) -> int | None:
    """Return the first seed of a history that breaks a promise."""
    return next((seed for seed in range(1, seeds_max + 1) if play(seed).violations), None)


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_planted_bug_is_found(bug: str) -> None:
    with planted(bug):
        found = first_broken(RARE.get(bug, FEW))

    assert found is not None


def test_bug_is_gone_when_it_was_taken_out() -> None:
    with planted("lease ignored"):
        assert first_broken(FEW)

    assert first_broken(5) is None
