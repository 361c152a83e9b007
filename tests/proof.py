"""`just proof`: everything that the tests prove a slice of, at full length.

just proof                       all parts, one after the other: hours
just proof "power cuts" storm    only these

What each part proves, and what it said the last time, is in docs/proof.md.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

JOBS: Final = str(os.cpu_count() or 1)
PARTS: Final[Mapping[str, Sequence[str]]] = {
    "simulation": ("tests.simulation", "--seeds", "1..1000000", "--jobs", JOBS),
    "sabotage": ("tests.sabotage",),
    "kills": ("tests.steps", "kill", "--jobs", JOBS),
    "failures": ("tests.steps", "fail", "--jobs", JOBS),
    "frozen": ("tests.steps", "freeze", "--jobs", JOBS),
    "power cuts": ("tests.steps", "cut", "--images", "500", "--jobs", JOBS),
    "storm": ("tests.steps", "storm", "--minutes", "10"),
    "hostile": (
        *("pytest", "-q", "tests/trouble", "tests/stateful", "tests/sabotage"),
        "tests/providers/test_misbehaviour.py",
    ),
    "d1": ("pytest", "-q", "tests/workerd"),
}


def main(arguments: Sequence[str]) -> int:
    """Return 1 if any part failed."""
    parser = argparse.ArgumentParser(prog="just proof", description="Prove it at full length.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parts: list[str] = parser.parse_args(arguments).parts or [*PARTS]
    for part in parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}; there are: {', '.join(PARTS)}")
    failed = [part for part in parts if not holds(part)]
    sys.stdout.write(f"{len(parts)} parts, {len(failed)} failed: {', '.join(failed) or 'none'}\n")
    return int(bool(failed))


def holds(part: str) -> bool:
    """Run one part, and return whether it holds."""
    sys.stdout.write(f"{part}: python -m {' '.join(PARTS[part])}\n")
    sys.stdout.flush()
    began = time.monotonic()
    environment = {**os.environ, "CLEARLIFT_PROOF": "full"}
    ended = subprocess.run([sys.executable, "-m", *PARTS[part]], env=environment, check=False)
    took_s = time.monotonic() - began
    sys.stdout.write(f"{part}: {'holds' if ended.returncode == 0 else 'FAILED'}, {took_s:.0f} s\n")
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
