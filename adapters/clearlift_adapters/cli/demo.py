"""`demo`: a simulated day on a throw-away database, and what it shows.

It is the one command that looks at no setting: what it needs it makes itself, so that it goes the
same way everywhere and touches nothing that is there.
"""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.options import Flags, SelfContained
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.cli.report import facts_of, write
from clearlift_adapters.clock import ShiftedClock
from clearlift_adapters.demo.day import Hour, live
from clearlift_adapters.demo.stage import url_of
from clearlift_adapters.demo.story import FEWEST, TICK_MINUTES
from clearlift_adapters.demo.summary import PAGE, Condition, DemoReport, Summary, Totals, summarise
from clearlift_adapters.logs import Log
from clearlift_adapters.settings import Settings
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.policy import iso
from clearlift_engine.ports import Clock

FILE: Final = "demo.db"
MOST: Final = 5_000

_BESIDE: Final = ("-wal", "-shm", "-journal")  # What SQLite keeps while it writes.
_REMEDY: Final = "remove it, if it is an earlier demo's, or name another directory"
_CELL: Final = "  "
_STYLES: Final = {"ok": "green", "NOT OK": "bold red", "failed": "red"}


@click.command(
    "demo", cls=SelfContained, short_help="Show the whole thing, with nothing configured."
)
@click.option(
    "--connections",
    type=click.IntRange(FEWEST, MOST),
    default=300,
    show_default=True,
    metavar="N",
    help=f"How many connections take part, from {FEWEST} to {MOST:,}.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"Leave {FILE} and {PAGE} there; by default in a temporary directory.",
)
@click.pass_obj
def command(flags: Flags, *, connections: int, keep: Path | None) -> int:
    """Show the whole thing on this machine in seconds: no key, no network, no configuration.

    A day of ticks, relays and a consumer passes over some hundred connections in every condition,
    with providers on loopback that fail, throttle and rotate. The database that is left can be
    looked at with the other commands, and a page beside it with a browser.
    """
    if flags.values or flags.config is not None:
        raise click.UsageError("demo makes a database of its own; --keep DIR says where")
    _forget_the_network()
    folder = _folder(keep)
    try:
        summary = stopping.run(_demonstrate(flags, folder / FILE, connections))
    except BaseException:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        for name in (FILE, *(FILE + end for end in _BESIDE), PAGE):  # It may be run there again.
            (folder / name).unlink(missing_ok=True)
        raise
    if flags.json:
        print_json(summary.report)
    else:
        _tell(summary)
    return exit_code(summary.report)


async def _demonstrate(flags: Flags, file: Path, connections: int) -> Summary:
    note = flags.log.note if flags.verbosity > 0 else _silence
    watch: Callable[[Hour], None] = _progress if sys.stderr.isatty() else _silence
    ledger = await live(file, connections, note=note, on_hour=watch)
    summary = await summarise(file, ledger)
    async with open_backend(url_of(file)) as backend:
        settings, clock = Settings(), ShiftedClock(ledger.ends_at)
        facts = await facts_of(_Afterwards(settings, flags.log, backend, clock))
    from clearlift_adapters.web.page import report_page  # noqa: PLC0415  jinja2

    write(file.with_name(PAGE), report_page(facts))
    return summary


class _Afterwards(NamedTuple):
    """From where the report looks: the end of the day."""

    settings: Settings
    log: Log
    backend: Backend
    clock: Clock


def _forget_the_network() -> None:
    """Forget proxies and certificates: nothing leaves this machine, so nothing of them can hurt."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith("SSL_CERT_"):
            del os.environ[name]


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="clearlift-demo-"))
    file = keep / FILE
    try:
        for taken in (file, keep / PAGE):
            if taken.exists():
                raise click.UsageError(f"{taken} exists already: {_REMEDY}")
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write to {keep}: {exc.strerror}; name a directory that this user may write to"
        ) from exc
    file.unlink()
    return keep.absolute()


def exit_code(report: DemoReport) -> int:
    """Return 0 only if everything held."""
    if report.replay.violations:
        return exits.VIOLATED
    return exits.DONE if all(check.ok for check in report.checks) else exits.UNEXPECTED


def _silence(*_: object, **__: object) -> None:
    """Say nothing."""


def _progress(hour: Hour) -> None:
    """Write a line for each hour, for somebody who sits before a terminal."""
    line = (
        f"{_time(iso(hour.begins_at))} {hour.jobs:6} jobs {hour.refreshed:6} refreshed "
        f"{hour.failed:4} failed {hour.deferred:4} deferred  {'; '.join(hour.incidents)}"
    )
    click.echo(line.rstrip(), err=True)


def _tell(summary: Summary) -> None:
    report = summary.report
    for line in _introduction(report):
        print_line(line)
    _table("What happened", (), ((_time(each.at), each.what) for each in report.incidents))
    _table(
        "What the worker did",
        ("platform", "connections", "jobs", "delivered", "refreshed", "failures"),
        [
            *((name, *_row(totals)) for name, totals in report.platforms.items()),
            ("all", *_row(report.totals)),
        ],
    )
    print_line(
        f"{_CELL}{report.deferred} times a refresh was put off: the provider was down or throttling"
    )
    _table(
        "Why connections failed",
        ("platform", "connections", "times", "why"),
        ((f.platform, f.connections, f.times, f.message) for f in report.failures),
    )
    _table(
        "In what condition they were, and what became of them",
        ("platform", "condition", "number", "jobs", "refreshed", "failures", "in the end"),
        (_outcome(each) for each in report.conditions),
    )
    _table(
        f"The life of one of them, {report.example}",
        ("at", "transition", "now", "why"),
        ((_time(iso(x.occurred_at)), x.transition, x.target, x.sentence) for x in summary.life),
    )
    _conclude(report)


def _introduction(report: DemoReport) -> Sequence[str]:
    number = report.totals.connections
    return (
        "",
        f"A day in {report.duration_ms / 1000:.1f} s: {report.starts_at} to {report.ends_at}",
        "",
        f"Every {TICK_MINUTES} minutes a tick looked which of {number} connections were due,",
        "renewed tokens that were about to expire, at token endpoints on this machine, and made a",
        "job for each; a relay put one message for each job into the queue; a consumer did the",
        "jobs. Connections, users and providers are made up, all else is what runs in production.",
    )


def _conclude(report: DemoReport) -> None:
    _table(
        "What was checked",
        (),
        (("ok" if each.ok else "NOT OK", each.what, each.seen) for each in report.checks),
    )
    print_line("")
    print_line(f"The same in pictures: {report.page}")
    print_line("")
    print_line("Look at it yourself (the key to its tokens is gone)")
    database = shlex.quote(url_of(Path(report.database)))
    for rest in (
        "connections list",
        "queue list",
        "tick --dry-run",
        "replay",
        shlex.join(("replay", report.example)),
    ):
        print_line(f"{_CELL}clearlift-cron --database {database} {rest}")


def _row(totals: Totals) -> Sequence[int]:
    return (
        totals.connections,
        totals.jobs,
        totals.delivered,
        totals.refreshed,
        totals.failed,
    )


def _outcome(each: Condition) -> Sequence[object]:
    total = each.totals
    return (
        each.platform,
        each.condition,
        total.connections,
        total.jobs,
        total.refreshed,
        total.failed,
        each.at_the_end,
    )


def _time(at: str) -> str:
    """Return the hours and minutes of an ISO 8601 time."""
    return at[11:16]


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table under a title; numbers stand on the right."""
    cells = [list(row) for row in rows]
    print_line("")
    if sys.stdout.isatty():
        _draw(title, headings, cells)
        return
    print_line(title)
    lines: list[Sequence[object]] = [headings, *cells] if headings else [*cells]
    widths = [max(len(str(value)) for value in column) for column in zip(*lines, strict=True)]
    numeric = [isinstance(value, int) for value in cells[-1]]
    for line in lines:
        padded = (
            str(value).rjust(width) if on_the_right else str(value).ljust(width)
            for value, width, on_the_right in zip(line, widths, numeric, strict=True)
        )
        print_line(f"{_CELL}{_CELL.join(padded)}".rstrip())


def _draw(title: str, headings: Sequence[str], cells: Sequence[Sequence[object]]) -> None:
    from rich.console import Console  # noqa: PLC0415  for a terminal only
    from rich.padding import Padding  # noqa: PLC0415  so is this
    from rich.table import Table  # noqa: PLC0415  and this
    from rich.text import Text  # noqa: PLC0415  and this

    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="dim")
    for number, value in enumerate(cells[-1]):
        heading = headings[number] if headings else ""
        table.add_column(heading, justify="right" if isinstance(value, int) else "left")
    for row in cells:
        table.add_row(*(Text(str(value), style=_STYLES.get(str(value), "")) for value in row))
    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    console.print(Padding(table, (0, 0, 0, len(_CELL))))
