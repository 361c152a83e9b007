"""`just mutate`: change the engine in one place at a time, and print the changes no test minds.

just mutate                       the rules first: policy, pacing, stream, decisions, judge …
just mutate policy --jobs 2       one of them
just mutate judge --every 10      one mutant in ten
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.trial import ENGINE, survivors

FIRST: Final = (
    *("policy", "pacing", "stream", "decisions", "judge", "relay", "tick", "audit", "replay"),
)


def main(arguments: Sequence[str]) -> None:
    """Print each mutant that survived, and how many did."""
    parser = argparse.ArgumentParser(prog="just mutate", description="See what no test minds.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", default=list(FIRST))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one mutant in N")
    chosen = parser.parse_args(arguments)
    modules: list[str] = chosen.modules
    for module in modules:
        source = (ENGINE / f"{module}.py").read_text(encoding="utf-8")
        all_ = list(mutants(source))[:: chosen.every]
        unchanged = Mutant(0, "unchanged", "unchanged", source)
        if not list(survivors(module, [unchanged], jobs=1)):
            sys.exit(f"{module}: its tests fail as it is")
        left = 0
        for mutant in survivors(module, all_, chosen.jobs):
            left += 1
            say(f"{module}.py:{mutant.line}: {mutant.before}  ->  {mutant.after}")
        say(f"{module}: {len(all_)} mutants, {left} survived")


def say(line: str) -> None:
    """Print a line at once: the next may take minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
