"""The README's table of what can go wrong, each row brought about and made good."""

import pytest

from tests.trouble import files, world
from tests.trouble.readme import Trouble, troubles
from tests.trouble.scene import EXPIRING, STEADY, Scene

CASES = {**files.CASES, **world.CASES}
TABLE = troubles()
TWICE = {"the consumer dies"}  # The first job is given up, and superseded.


def in_order(words: list[str], text: str) -> list[str]:
    """Return those that do not come in `text`, each after the one before."""
    missing: list[str] = []
    for word in words:
        _, found, rest = text.partition(word)
        text = rest if found else text
        missing += [] if found else [word]
    return missing


def test_the_table_and_the_cases_tell_of_the_same() -> None:
    assert [trouble.what for trouble in TABLE] == list(CASES)


@pytest.mark.parametrize("trouble", TABLE, ids=[trouble.what for trouble in TABLE])
def test_what_goes_wrong_is_seen_and_made_good_as_the_table_says(
    scene: Scene, trouble: Trouble
) -> None:
    strike, mend = CASES[trouble.what]

    ended = strike(scene)
    scene.program.before = None
    mend(scene)
    scene.settle()

    assert ended.code == trouble.code, ended
    assert in_order(trouble.words, ended.out + ended.err) == []
    assert "Traceback" not in ended.err
    jobs = 2 if trouble.what in TWICE else 1
    assert scene.jobs() == dict.fromkeys((*STEADY, EXPIRING), jobs)
