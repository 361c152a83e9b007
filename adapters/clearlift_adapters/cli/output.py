"""Results on stdout: JSON lines, tables on a terminal, tab-separated columns in a pipe.

rich is loaded for a table on a terminal and for nothing else.
"""

import os
import re
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from clearlift_adapters.logs import visible
from clearlift_engine.errors import UnavailableError
from clearlift_engine.policy import iso

if TYPE_CHECKING:
    from rich.table import Table

BROKEN_PIPE: Final = 141  # As a shell has it: 128 and the number of the signal.

_TIME: Final = r"(?a)(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z"
FOLDED_MIN: Final = 24  # Characters that the last column of a table is left with.


def print_json(value: object) -> None:
    """Write one JSON object and a line feed, in UTF-8 whatever the locale."""
    with _reader():
        sys.stdout.flush()
        sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def print_bytes(lines: bytes) -> None:
    """Write lines that are ready as they are."""
    with _reader():
        sys.stdout.flush()
        sys.stdout.buffer.write(lines)


def print_line(text: str) -> None:
    """Write a line that a person reads."""
    with _reader():
        sys.stdout.write(_writable(visible(text)) + "\n")


def print_text(text: str) -> None:
    """Write lines of our own, such as a help text."""
    with _reader():
        sys.stdout.write(_writable(text) + "\n")
        sys.stdout.flush()


class Columns:
    """A table that may come in parts: in a pipe a row is a line, and the heading comes once."""

    def __init__(self, *headings: str) -> None:
        self._headings = headings
        self._begun = False

    def write(self, rows: Iterable[Sequence[object]]) -> None:
        """Write some rows; None is a dash."""
        cells = [[cell(value) for value in row] for row in rows]
        if not cells:
            return
        with _reader():
            if sys.stdout.isatty():
                _draw(self._headings, cells)
                return
            lines = cells if self._begun else [[*self._headings], *cells]
            self._begun = True
            for line in lines:
                sys.stdout.write(_writable("\t".join(line)) + "\n")


class Grid(NamedTuple):
    """A table that is there as a whole."""

    headings: Sequence[str]
    rows: Sequence[Sequence[object]]


Part = str | Grid  # Of a screen: a line, or a table.


def print_parts(parts: Iterable[Part]) -> None:
    """Write lines and tables one below the other; a table without rows is left out."""
    for part in parts:
        match part:
            case str():
                print_line(part)
            case Grid(headings, rows):
                Columns(*headings).write(rows)


def flush() -> None:
    """Write out what is still in memory."""
    with _reader():
        sys.stdout.flush()


@contextmanager
def _reader() -> Generator[None]:
    """End as any program does whose output nobody reads any more (`| head`): at once and silently.

    Commands that write to the database print when they are done, so there is nothing to undo.
    """
    try:
        yield
    except BrokenPipeError:
        os._exit(BROKEN_PIPE)
    except OSError as exc:
        raise UnavailableError(
            f"the result cannot be written: {exc.strerror}; what was done stays done, and "
            "`clearlift-cron status` shows it"
        ) from exc


def open_streams() -> None:
    """Let each stream that was closed lead nowhere, before another file takes its place."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            _lead_nowhere(number)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def close_streams() -> None:
    """Give up what cannot be written, before Python tries and says so in words of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _lead_nowhere(stream.fileno())


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def when(ms: int | None) -> str | None:
    """Return a time as people and JSON have it."""
    return None if ms is None else iso(ms)


def readable(text: str | None) -> str | None:
    """Return a time as a terminal shows it, without what nobody reads; a pipe gets all of it.

    What is no time, as a column may hold, stays as it is.
    """
    if text is None or not sys.stdout.isatty():
        return text
    found = re.fullmatch(_TIME, text)
    return text if found is None else f"{found[1]} {found[2]}"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: 1 job, 2 jobs."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def cell(value: object) -> str:
    """Return what stands in a table for a value."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return visible(str(value))


def _writable(text: str) -> str:
    """Return `text` as the encoding of stdout can say it."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _draw(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415  see above

    console = Console()
    console.print(drawn(headings, cells, console.width))


def drawn(headings: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> "Table":
    """Return a table for a terminal; where it would be wider, a block of lines for each row."""
    from rich.table import Table  # noqa: PLC0415  see above
    from rich.text import Text  # noqa: PLC0415  see above

    table = Table.grid(padding=(0, 2, 0, 0))
    if _width([headings, *cells]) > width:
        for row in cells:
            for heading, text in zip(headings, row, strict=True):
                table.add_row(Text(heading, "bold"), Text(text, overflow="fold"))
            table.add_row("")
        return table
    for _ in headings[:-1]:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(*(Text(heading, "bold") for heading in headings))
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _width(lines: Sequence[Sequence[str]]) -> int:
    """Return what a table needs at least: its last column may be folded, the others may not."""
    *fixed, last = (max(map(len, column)) for column in zip(*lines, strict=True))
    return sum(width + 2 for width in fixed) + min(last, FOLDED_MIN)
