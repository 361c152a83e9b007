"""None of the 22 defects that were demonstrated is without a test that bears its number."""

import re
from pathlib import Path

DEFECTS = range(1, 23)


def test_every_known_defect_has_a_test() -> None:
    files = Path(__file__).parent.glob("test_*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)

    numbers = {int(number) for number in re.findall(r"def test_(\d\d)_", text)}

    assert numbers == set(DEFECTS)
