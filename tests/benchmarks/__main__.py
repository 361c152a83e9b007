"""`just bench`: figures measured side by side in one run, against what they have to reach.

Without names all rows are measured, which takes a quarter of an hour; `--rounds` of at least five
give the medians that the README quotes. Exits with 1 if a row misses its least.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import (
    cloud,
    curves,
    handing,
    refreshing,
    replaying,
    searching,
    starting,
    writing,
)
from tests.benchmarks.plot import drawn
from tests.benchmarks.reach import HEAD, Figure, NotHereError, Row, line

ROWS: Sequence[Row] = (
    *writing.ROWS,
    *searching.ROWS,
    *replaying.ROWS,
    *refreshing.ROWS,
    *starting.ROWS,
    *cloud.ROWS,
)


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 1 if a row misses its least."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", help=f"rows: {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="other people's queues as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw time against N, as SVG")
    chosen = parser.parse_args(arguments)
    if chosen.plot:
        chosen.plot.write_text(drawn(curves.measured(chosen.rounds)), encoding="utf-8")
        return 0
    known = (*ROWS, *handing.ROWS) if chosen.peers else ROWS
    unknown = set(chosen.names) - {row.name for row in known}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    rows = [row for row in known if row.name in chosen.names or not chosen.names]
    say(HEAD)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            try:
                figure = row.measure(Path(folder), chosen.rounds)
            except NotHereError as exc:
                say(f"{row.what:<58} not measured: {exc}")
                continue
            say(line(row, figure))
            explain(row, figure)
            missed += not row.reaches(figure, row.least)
    say(f"{missed} of {len(rows)} miss their least" if missed else "every row meets its least")
    return int(bool(missed))


def explain(row: Row, figure: Figure) -> None:
    """Say what a figure was made of, and what limits it if it is short of its aim."""
    if figure.said:
        say(f"    {figure.said}")
    if row.limit and not row.reaches(figure, row.aim):
        say(f"    limited by: {row.limit}")


def say(text: str) -> None:
    """Print a line at once: the next one may take a minute."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
