"""Numbers on the command line: all of them finite, and none beyond what anybody can mean.

Without a bound, what a number is added to or multiplied by fails far from where it was given.
"""

import math
from typing import Any, Final

import click

COUNT_MAX: Final = 1_000_000_000
SECONDS_MAX: Final = 1_000_000_000  # 31 years.


def count(least: int = 1) -> click.IntRange:
    """Return the type of an option that says how many."""
    return click.IntRange(least, COUNT_MAX)


class Seconds(click.FloatRange):
    """The type of an option that is a number of seconds, at least so many."""

    def __init__(self, least: float = 0.0, *, more: bool = False) -> None:
        """With `more`, it must be more than the least."""
        super().__init__(min=least, max=SECONDS_MAX, min_open=more)

    def convert(
        self,
        value: Any,  # noqa: ANN401  click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):  # It is in no range, and outside of none.
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number
