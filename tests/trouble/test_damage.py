"""A file with one wrong bit, and a process that may open next to nothing: no surprise."""

import resource
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.cli.program import Ended
from tests.e2e.program import connect
from tests.given import NOW_MS
from tests.trouble.files import FULL, PAGE
from tests.trouble.scene import LATER_MS, SIDES, Scene, finish

FLIPS: Final = 5_000 if FULL else 12
ENOUGH: Final = 24  # Descriptors. A process that has fewer says so.
PYTHON_STARTS: Final = 6  # With fewer, the interpreter does not.
# Served, or told in a line what it is; replay may also find what was changed.
FINE: Final = {0, 3, 4}


def flip(file: Path, image: bytes, random: Random, number: int) -> int:
    """Write `image` with one bit turned over; the heads of file and pages come more often.

    The first of all is in the name of the format, so that one is sure to be noticed.
    """
    places = (
        random.randrange(len(image)),
        random.randrange(100),
        random.randrange(len(image) // PAGE) * PAGE + random.randrange(12),
    )
    [place] = random.choices(places, (7, 1, 2)) if number else [0]
    for side in SIDES:
        Path(f"{file}{side}").unlink(missing_ok=True)
    changed = bytearray(image)
    changed[place] ^= 1 << random.randrange(8)
    file.write_bytes(changed)
    return place


def lived(scene: Scene) -> bytes:
    """Return the file of an installation in which everything has happened once."""
    with scene.tables() as tables:
        for number in range(40):
            connect(tables, f"c{number}", platform="stripe", organization_id="many")
    scene.done("tick")
    scene.done("relay", "--drain")
    with scene.tables() as tables:
        finish(tables, NOW_MS - 1)
    return scene.file.read_bytes()


def test_one_wrong_bit_ends_with_a_documented_code_and_a_line(scene: Scene) -> None:
    image, random = lived(scene), Random(1)

    odd: list[tuple[int, str, Ended]] = []
    codes = Counter[int]()
    for number in range(FLIPS):
        place = flip(scene.file, image, random, number)
        for command in (("tick",), ("relay", "--drain"), ("replay",)):
            ended = scene.run(*command, now_ms=LATER_MS)
            codes[ended.code] += 1
            allowed = FINE | ({6} if command == ("replay",) else set[int]())
            if ended.code not in allowed or "Traceback" in ended.err:
                odd.append((place, command[0], ended))

    assert odd == []
    assert codes[0] > codes[4] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_process_that_may_open_next_to_nothing_says_so(scene: Scene) -> None:
    for limit in (PYTHON_STARTS, ENOUGH - 1):
        scene.program.before = _limited(limit)
        ended = scene.run_apart("tick", "--relay")
        assert (ended.code, ended.out) == (5, "")
        assert "too few files can be opened" in ended.said[-1]

    scene.program.before = _limited(ENOUGH + 8)

    assert scene.run_apart("tick", "--relay").code == 0


def _limited(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
