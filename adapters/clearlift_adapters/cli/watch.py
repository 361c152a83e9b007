"""Showing the same thing again and again, until somebody wants no more of it.

On a terminal the page is drawn anew in its place, and the last one stays when it ends; elsewhere
one page follows the other, and with --json each is a line. rich is loaded for a terminal only.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from clearlift_adapters.cli.output import (
    Grid,
    Part,
    cell,
    drawn,
    flush,
    print_json,
    print_line,
    print_parts,
)
from clearlift_adapters.cli.stopping import Stop
from clearlift_adapters.logs import Log, visible
from clearlift_engine.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Group


class Page(NamedTuple):
    """What is shown at once: as JSON, and as people read it."""

    view: object
    parts: Sequence[Part]


Show = Callable[[Page], None]


async def again_and_again(
    turn: Callable[[], Awaitable[Page]], show: Show, stop: Stop, every_s: float, log: Log
) -> None:
    """Show a page every so many seconds; a database that is away is waited for."""
    while not stop.asked():
        try:
            show(await turn())
        except UnavailableError as exc:
            if isinstance(exc, ConfigurationError):  # Waiting would not help.
                raise
            log.note("warning", "waiting", why=str(exc), seconds=every_s)
        await stop.wait(every_s)


@contextmanager
def page_by_page(*, as_json: bool) -> Generator[Show]:
    """Give what shows one page after the other, in the way of this output."""
    if as_json:
        yield _show_json
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        with _screen() as show:
            yield show
    else:
        yield _show_block


def _show_json(page: Page) -> None:
    print_json(page.view)
    flush()


def _show_block(page: Page) -> None:
    print_parts(page.parts)
    print_line("")
    flush()


@contextmanager
def _screen() -> Generator[Show]:
    from rich.live import Live  # noqa: PLC0415  see above

    last: list[Page] = []
    with Live(screen=True, auto_refresh=False) as live:

        def show(page: Page) -> None:
            last[:] = [page]
            live.update(_drawn(page, live.console.width), refresh=True)

        yield show
    for page in last:
        print_parts(page.parts)


def _drawn(page: Page, width: int) -> "Group":
    from rich.console import Group  # noqa: PLC0415  see above
    from rich.text import Text  # noqa: PLC0415  see above

    return Group(
        *(
            Text(visible(part))
            if isinstance(part, str)
            else drawn(part.headings, [[cell(value) for value in row] for row in part.rows], width)
            for part in page.parts
            if not isinstance(part, Grid) or part.rows
        )
    )
