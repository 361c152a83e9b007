"""The simulation finds what it is there to find: bugs that were planted, each within some seeds."""

from collections.abc import Sequence
from typing import Final

import pytest

from tests.simulation.history import play
from tests.simulation.sabotage import BUGS, planted

# Which seeds may have to be played. Most bugs show within twenty.
FIRST: Final = range(1, 400)
RARE: Final = {  # One history in some hundred, or thousands: where to begin to look.
    "answers not kept in an outage": range(150, 1_000),
    "dated by when the tick began": range(144_484, 144_500),
    "lease judged by when the tick began": range(150, 1_500),
    "pause ignored": range(150, 2_000),
    "relay's lease ignored": range(300, 1_000),
    "rival's live claim ended": range(4_700, 10_000),
    "thawed worker asks again": range(50, 1_500),
    "user's token overwritten": range(500, 3_000),
}


def first_broken(seeds: Sequence[int]) -> int | None:
    """Return the first seed of a history that breaks a promise."""
    return next((seed for seed in seeds if play(seed).violations), None)


def test_planted_bug_is_a_bug_of_the_worker_and_no_crash_of_the_patch() -> None:
    for bug in BUGS:
        with planted(bug):
            broken = [text for seed in range(1, 20) for text in play(seed).violations]

        assert not [text for text in broken if "TypeError" in text or "AttributeError" in text], bug


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_planted_bug_is_found(bug: str) -> None:
    with planted(bug):
        found = first_broken(RARE.get(bug, FIRST))

    assert found is not None


def test_bug_is_gone_when_it_was_taken_out() -> None:
    with planted("lease ignored"):
        assert first_broken(FIRST)

    assert first_broken(range(1, 20)) is None
