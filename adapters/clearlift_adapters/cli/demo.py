"""`demo`: a simulated day on a throw-away database, and what it shows.

It is the one command that looks at no setting: what it needs it makes itself, so that it behaves
the same everywhere and touches nothing that is there.
"""

import asyncio
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click

from clearlift_adapters.cli import exits
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.demo.day import Hour, live
from clearlift_adapters.demo.story import EACH_SHARE_HAS_ONE
from clearlift_adapters.demo.summary import DemoReport, Summary, Totals, summarise
from clearlift_engine.policy import iso

FILE: Final = "demo.db"
_MOST: Final = 20_000


@click.command("demo", cls=Command)
@click.option(
    "--connections",
    type=click.IntRange(EACH_SHARE_HAS_ONE, _MOST),
    default=300,
    show_default=True,
    metavar="N",
    help="How many connections take part.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"Leave the database there, as {FILE}.  [default: a temporary directory]",
)
@click.pass_obj
def command(flags: Flags, *, connections: int, keep: Path | None) -> int:
    """Show the whole thing on this machine in seconds: no key, no network, no configuration.

    A day of ticks, relays and a consumer passes over some hundred connections in every condition,
    with providers on loopback that fail, throttle and rotate. The database it leaves can be looked
    at with the other commands.
    """
    if flags.values or flags.config is not None:
        raise click.UsageError("demo makes a database of its own; --keep DIR says where")
    folder = _folder(keep)
    try:
        summary = asyncio.run(_demonstrate(flags, folder / FILE, connections))
    except BaseException:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if flags.json:
        print_json(summary.report)
    else:
        _tell(summary)
    return _code(summary.report)


async def _demonstrate(flags: Flags, file: Path, connections: int) -> Summary:
    note = flags.log.note if flags.verbosity > 0 else _silence
    watch: Callable[[Hour], None] = _progress if sys.stderr.isatty() else _silence
    return await summarise(file, await live(file, connections, note=note, on_hour=watch))


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="clearlift-demo-"))
    if (keep / FILE).exists():
        raise click.UsageError(f"{keep / FILE} exists already; name another directory")
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    return keep.absolute()


def _code(report: DemoReport) -> int:
    if report.replay.violations:
        return exits.VIOLATED
    return exits.DONE if all(check.ok for check in report.checks) else exits.UNEXPECTED


def _silence(*_: object, **__: object) -> None:
    """Say nothing."""


def _progress(hour: Hour) -> None:
    """Write a line for each hour, for somebody who sits before a terminal."""
    says = "; ".join(hour.incidents)
    line = (
        f"{_clock(iso(hour.begins_at))}  {hour.jobs:5} jobs {hour.refreshed:5} refreshed "
        f"{hour.failed:5} failed {hour.deferred:5} deferred  {says}"
    )
    click.echo(line.rstrip(), err=True)


def _tell(summary: Summary) -> None:
    report = summary.report
    print_line("")
    print_line(
        f"A day of {report.totals.connections} connections: {report.starts_at} to "
        f"{report.ends_at}, {report.ticks} ticks, in {report.duration_ms / 1000:.1f} s"
    )
    _table("What happened", [], ((_clock(each.at), each.what) for each in report.incidents))
    _table(
        "What the worker did",
        ["platform", *_HEADINGS],
        [
            *((name, *_row(totals)) for name, totals in report.platforms.items()),
            ("all", *_row(report.totals)),
        ],
    )
    _table(
        "Why connections failed",
        ["platform", "why", "connections", "times"],
        ((f.platform, f.message, f.connections, f.times) for f in report.failures),
    )
    _table(
        "In what condition they were, and what became of them",
        ["platform", "condition", *_HEADINGS, "in the end"],
        ((c.platform, c.condition, *_row(c.totals), c.at_the_end) for c in report.conditions),
    )
    _table(
        f"The life of {report.example}",
        ["at", "transition", "to", "why"],
        ((_clock(iso(x.occurred_at)), x.transition, x.target, x.sentence) for x in summary.life),
    )
    _table(
        "What was checked",
        [],
        (("ok" if each.ok else "NOT OK", each.what, each.seen) for each in report.checks),
    )
    _invite(report)


_HEADINGS: Final = ("connections", "jobs", "delivered", "refreshed", "failures")


def _row(totals: Totals) -> tuple[int, ...]:
    return (
        totals.connections,
        totals.jobs,
        totals.delivered,
        totals.refreshed,
        totals.failed,
    )


def _invite(report: DemoReport) -> None:
    url = shlex.quote(f"sqlite:///{quote(report.database)}")
    print_line("")
    print_line("Look at it yourself")
    for rest in (
        "connections list",
        "queue list",
        "replay",
        shlex.join(["replay", report.example]),
        "tick --dry-run",
    ):
        print_line(f"  clearlift-cron --database {url} {rest}")
    print_line(f"digest {report.replay.digest}")


def _clock(at: str) -> str:
    """Return the hours and minutes of an ISO 8601 time."""
    return at[11:16]


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print_line("")
    cells = [[str(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(title, headings, cells)
        return
    print_line(title)
    lines = [[*headings], *cells] if headings else cells
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print_line(f"  {'  '.join(padded)}".rstrip())


def _draw(title: str, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415  for a terminal only
    from rich.padding import Padding  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="dim")
    for number in range(len(cells[0])):
        table.add_column(headings[number] if headings else "", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(Padding(table, (0, 0, 0, 2)))


_STYLES: Final = {"ok": "green", "NOT OK": "bold red", "failed": "red"}
