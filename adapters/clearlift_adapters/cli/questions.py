"""What `jobs`, `failures`, `timeline` and `runs` have in common: a period, a limit, the statement.

Each of them is one statement. `--sql` prints it, filled in, for another tool: it opens no database.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from clearlift_adapters.cli.numbers import count
from clearlift_adapters.cli.options import Flags, stretch
from clearlift_adapters.cli.output import print_bytes
from clearlift_adapters.cli.world import clock_of
from clearlift_adapters.stores.questions import Question

F = TypeVar("F", bound=Callable[..., Any])

since: Final = click.option(
    "--since",
    "since_ms",
    type=stretch,
    default="1d",
    show_default=True,
    metavar="TIME",
    help="How far back: 1d, 12h, 30m.",
)
as_sql: Final = click.option(
    "--sql", is_flag=True, help="Print the statement, for `wrangler d1 execute --command`."
)


def at_most(lines: int) -> Callable[[F], F]:
    """Return the option that bounds an answer."""
    return click.option(
        "--limit",
        type=count(),
        default=lines,
        show_default=True,
        metavar="N",
        help="At most N lines.",
    )


def beginning(flags: Flags, since_ms: int) -> int:
    """Return when a period begins that ends now; none begins before there were times."""
    return max(0, clock_of(flags, writes=False).now() - since_ms)


def print_sql(question: Question) -> None:
    """Print a statement on a line of its own."""
    print_bytes(question.text.encode() + b"\n")
