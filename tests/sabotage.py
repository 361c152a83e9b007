"""`just sabotage`: plant each bug, and print which seed of the simulation finds it, and how soon.

just sabotage                        all of them, one after the other
just sabotage "lease ignored"        only this one

Exit code 1 if a bug is missed. The bugs and the number of seeds that each may take stand with the
simulation, which plants the same ones in every run of the tests.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.simulation.sabotage import BUGS, planted
from tests.simulation.test_sabotage import FIRST, RARE, first_broken


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="just sabotage", description="Plant bugs; find them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones (default: all)")
    names: list[str] = parser.parse_args(arguments).names
    for name in names:
        if name not in BUGS:
            parser.error(f"there is no bug {name!r}; there are: {', '.join(sorted(BUGS))}")
    missed = sum(not is_found(name) for name in names or sorted(BUGS))
    sys.stdout.write(f"{len(names or BUGS)} planted, {missed} missed\n")
    return int(missed > 0)


def is_found(name: str) -> bool:
    """Plant one bug, print what came of it, and return whether it was found."""
    seeds = RARE.get(name, FIRST)
    began = time.monotonic()
    with planted(name):
        seed = first_broken(seeds)
    found = f"missed by seeds {seeds[0]}..{seeds[-1]}" if seed is None else f"found by seed {seed}"
    sys.stdout.write(f"{name}: {found}, {time.monotonic() - began:.1f} s\n")
    sys.stdout.flush()
    return seed is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
