"""`just sabotage`: plant each bug, and print what finds it, and how soon.

just sabotage                        all of them, one after the other
just sabotage "lease ignored"        only this one

Exit code 1 if a bug is missed.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.sabotage.trial import NAMES, tried


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="just sabotage", description="Plant bugs; find them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones (default: all)")
    names: list[str] = parser.parse_args(arguments).names or list(NAMES)
    for name in names:
        if name not in NAMES:
            parser.error(f"there is no bug {name!r}; there are: {', '.join(NAMES)}")
    missed = 0
    for name in names:
        trial = tried(name)
        missed += trial.found_by is None
        sys.stdout.write(f"{trial}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(names)} planted, {missed} missed\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
