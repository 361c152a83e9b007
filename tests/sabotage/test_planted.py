"""Each bug that is planted is found; in every run a few, all with CLEARLIFT_PROOF=full.

Those that the simulation finds are planted in every run: tests/simulation/test_sabotage.py.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.sabotage.bugs import BUGS
from tests.sabotage.trial import NAMES, Trial, tried

FULL: Final = os.environ.get("CLEARLIFT_PROOF") == "full"
FEW: Final = (
    "append is not guarded by the version",
    "hash chain not checked",
)
PLANTED: Final = tuple(sorted(BUGS)) if FULL else FEW


@pytest.fixture(scope="module")
def trials() -> dict[str, Trial]:
    """Plant them two at a time, each in a process of its own."""
    with ThreadPoolExecutor(2) as pool:
        return {trial.name: trial for trial in pool.map(tried, PLANTED)}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bug_is_found_by_the_tests_that_stand_beside_it(
    trials: dict[str, Trial], name: str
) -> None:
    assert trials[name].found_by is not None


def test_there_are_fifty_bugs_none_of_them_twice() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 50
