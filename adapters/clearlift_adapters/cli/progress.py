"""Says how far long work is, to somebody who sits before a terminal, and to nobody else.

What is counted is what the engine notes anyway. Nothing is shown, and rich is not even loaded,
before the work has taken a second; when it ends, the line is taken away again.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final, Literal

from clearlift_adapters.logs import Log
from clearlift_engine.ports import Archive, Fold, History

if TYPE_CHECKING:
    from rich.text import Text

DELAY_S: Final = 1.0
REDRAWN_PER_S: Final = 4

# What the engine notes, and what it is counted as.
_COUNTED: Final[Mapping[str, str]] = {
    "job created": "jobs created",
    "refreshed": "refreshed",
    "connection failed": "failed",
    "deferred": "deferred",
    "job delivered": "delivered",
}


class Progress:
    """What has been done so far. It passes on what the engine notes, and counts it."""

    def __init__(self, title: str, log: Log) -> None:
        self._title, self._log = title, log
        self._began_s = time.monotonic()
        self.counts = Counter[str]()
        self.shows = log.terminal and log.shows("warning") and os.environ.get("TERM") != "dumb"

    def note(
        self, level: Literal["debug", "info", "warning", "error"], event: str, **fields: object
    ) -> None:
        """Write a line of the log, and count what it tells."""
        word = _COUNTED.get(event)
        if word is not None:
            self.counts[word] += 1
        self._log.note(level, event, **fields)

    def __str__(self) -> str:
        """Return one line: the command, the seconds it has taken, and what it has done."""
        done = ", ".join(f"{number:,} {word}" for word, number in self.counts.items())
        return f"{self._title}: {time.monotonic() - self._began_s:.0f} s  {done}".rstrip()

    def __rich__(self) -> "Text":
        """Return that line as rich draws it."""
        from rich.text import Text  # noqa: PLC0415  see above

        return Text(str(self), style="dim", overflow="ellipsis", no_wrap=True)


@contextmanager
def progress(title: str, log: Log) -> Generator[Progress]:
    """Show how far the work in this context is; it needs a running event loop."""
    counted = Progress(title, log)
    if not counted.shows:
        yield counted
        return
    showing = _Line(counted)
    later = asyncio.get_running_loop().call_later(DELAY_S, showing.begin)
    try:
        yield counted
    finally:
        later.cancel()
        showing.end()


class _Line:
    """The line at the bottom of the terminal, which what is logged is written above of."""

    def __init__(self, counted: Progress) -> None:
        self._counted = counted
        self._end: Callable[[], None] = _nothing

    def begin(self) -> None:
        """Draw it, again and again from now on."""
        from rich.console import Console  # noqa: PLC0415  see above
        from rich.live import Live  # noqa: PLC0415  see above

        live = Live(
            self._counted,
            console=Console(stderr=True),
            refresh_per_second=REDRAWN_PER_S,
            transient=True,
            redirect_stdout=False,
        )
        live.start()
        self._end = live.stop

    def end(self) -> None:
        """Take it away."""
        self._end()


def _nothing() -> None:
    """Do nothing: nothing was begun."""


def counting(archive: Archive, shown: Progress) -> Archive:
    """Return an archive that counts what is read from it, if anybody sees that."""
    return CountedArchive(archive, shown) if shown.shows else archive


class CountedArchive:
    """The port Archive, counting the connections that are read from it."""

    def __init__(self, archive: Archive, shown: Progress) -> None:
        self._archive, self._shown = archive, shown

    async def histories(
        self, connection_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[History]:
        async with aclosing(self._archive.histories(connection_ids)) as histories:
            async for history in histories:
                self._shown.counts["connections read"] += 1
                yield history

    async def positions(self) -> tuple[int, int]:
        return await self._archive.positions()

    async def rebuild(self, fold: Fold) -> int:
        return await self._archive.rebuild(fold)
