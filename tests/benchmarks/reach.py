"""What is measured, what it has to reach, and whether it does.

Each row is one figure: `least` has to be met, `aim` is where we want to be; `limit` says what keeps
it from there. A figure on wall time that misses may be saved by the same figure on CPU time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

Direction = Literal["at least", "at most"]


class NotHereError(Exception):
    """A row cannot be measured here, for something is not there; the text says what."""


class Figure(NamedTuple):
    """One measured figure."""

    value: float
    cpu: float | None = None  # The same on CPU time, where that is another one.
    said: str = ""  # What it was made of.


class Row(NamedTuple):
    """One figure and its reach; `measure` gets a folder of its own and the number of rounds."""

    name: str
    what: str
    direction: Direction
    least: float
    aim: float
    measure: Callable[[Path, int], Figure]
    limit: str = ""

    def reaches(self, figure: Figure, goal: float) -> bool:
        """Return whether a figure is on the right side of a goal, on wall time or on CPU time."""
        values = [figure.value, *([] if figure.cpu is None else [figure.cpu])]
        if self.direction == "at least":
            return max(values) >= goal
        return min(values) <= goal

    def verdict(self, figure: Figure) -> Literal["met", "short of the aim", "MISSED"]:
        """Return how far it came."""
        if self.reaches(figure, self.aim):
            return "met"
        return "short of the aim" if self.reaches(figure, self.least) else "MISSED"


HEAD: Final = f"{'what':<58} {'measured':>9} {'CPU':>7} {'least':>7} {'aim':>7}  verdict"


def line(row: Row, figure: Figure) -> str:
    """Return one line of the table."""
    cpu = "" if figure.cpu is None else f"{figure.cpu:.2f}"
    return (
        f"{row.what:<58} {figure.value:>9.2f} {cpu:>7} {row.least:>7g} {row.aim:>7g}"
        f"  {row.verdict(figure)}"
    )
