"""`report`: how the worker is, or the life of one connection, as a page in one file."""

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.connections import ConnectionView, viewed
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_bytes, print_json, print_line
from clearlift_adapters.cli.overview import Viewpoint, look
from clearlift_adapters.cli.timeline import pages
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.stores.seals import SqliteSeals
from clearlift_adapters.web.facts import AUDITED_DAYS, Facts, Life, Sealed, verdict
from clearlift_engine.alerts import firing
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.overview import FLOW_ROWS_MAX
from clearlift_engine.policy import DAY_MS
from clearlift_engine.preview import REASONS
from clearlift_engine.seals import Problem
from clearlift_engine.timeline import TimelineLine, lines

FILE: Final = Path("clearlift-report.html")
LINES_MAX: Final = 500  # Of one connection's life: a page is to be read.

_STDOUT: Final = Path("-")
_NOT_ON_A_PAGE: Final = {"id", "due", "blocked", "blocked_until"}  # Its heading says it.


class ReportView(msgspec.Struct, frozen=True):
    """What `report --json` prints."""

    file: str
    verdict: str | None  # None: the page is about one connection.
    firing: tuple[str, ...]


@click.command("report", cls=Command, short_help="Write how the worker is as a page in one file.")
@click.option(
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default=FILE,
    show_default=True,
    metavar="FILE",
    help="Where the page goes; - is stdout.",
)
@click.option(
    "--connection", "connection_id", metavar="ID", help="The life of one connection instead."
)
@click.pass_obj
def command(flags: Flags, *, file: Path, connection_id: str | None) -> None:
    """Write how the worker is as one HTML file, which needs nothing else: no script, no network.

    It holds customers' names, so only its owner may read a file that is new.
    """
    if flags.json and file == _STDOUT:
        raise click.UsageError("--json says where the page is: it does not go with --out -")
    words, fired, page = stopping.run(_made(flags, connection_id))
    if file == _STDOUT:
        print_bytes(page.encode())
        return
    write(file, page)
    if flags.json:
        print_json(ReportView(str(file), words, fired))
    else:
        said = "" if words is None else f"{words}: "
        print_line(f"{said}the page is {file.absolute()}")


def write(file: Path, page: str) -> None:
    """Write a page, which only its owner may read if the file is new.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        # What is not there is made, and not by way of a link that leads nowhere.
        how = os.O_TRUNC if file.exists() else os.O_CREAT | os.O_EXCL
        number = os.open(file, os.O_WRONLY | how, 0o600)
        with open(number, "wb") as opened:  # noqa: PTH123  it is open already
            opened.write(page.encode())
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write the page to {file}: {exc.strerror}; name another file with --out"
        ) from exc


async def _made(flags: Flags, connection_id: str | None) -> tuple[str | None, tuple[str, ...], str]:
    from clearlift_adapters.web.page import life_page, report_page  # noqa: PLC0415  jinja2

    async with open_world(flags, "ro") as world:
        if connection_id is not None:
            return None, (), life_page(await life_of(world, connection_id))
        facts = await facts_of(world)
    seen = facts.overview
    fired = tuple(alert.name for alert in firing(seen))
    return verdict(seen).words, fired, report_page(facts)


async def facts_of(world: Viewpoint) -> Facts:
    """Return what a report shows."""
    monitor, seen = world.backend.monitor, await look(world)
    flows = await monitor.flows(since_ms=seen.at - DAY_MS, limit=FLOW_ROWS_MAX)
    return Facts(
        overview=seen,
        flows=flows,
        flows_cut=sum(flow.events for flow in flows) >= FLOW_ROWS_MAX,
        audits=await monitor.audits(since_ms=seen.at - AUDITED_DAYS * DAY_MS),
        seal=await _seal(SqliteSeals(world.backend.db)),
    )


async def _seal(seals: SqliteSeals) -> Sealed | str | None:
    seal = await seals.last_seal()
    if seal is None:
        return None
    if isinstance(seal, Problem):
        return seal.detail
    newer = max(await seals.last_position() - seal.position, 0)
    return Sealed(seal.number, seal.position, seal.sealed_at, newer)


async def life_of(world: World, connection_id: str) -> Life:
    """Return what the page of a connection shows.

    Raises:
        click.BadParameter: there is no such connection.
    """
    view = await viewed(world, connection_id)
    newest, rows = deque[TimelineLine](maxlen=LINES_MAX), 0
    async for page in pages(world.backend.questions, connection_id):
        newest.extend(lines(page))
        rows += len(page)
    return Life(
        at=world.clock.now(),
        connection_id=connection_id,
        fields=_fields(view),
        waits_for=waits_for(view),
        lines=list(newest),
        omitted=rows - len(newest),
    )


def _fields(view: ConnectionView) -> Mapping[str, str | None]:
    return {
        name: _said(getattr(view, name))
        for name in view.__struct_fields__
        if name not in _NOT_ON_A_PAGE
    }


def _said(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else str(value)


def waits_for(view: ConnectionView) -> str | None:
    """Return why the next tick will leave a connection alone; None: it will not."""
    if view.blocked is None:
        return None
    until = view.blocked_until
    told = "" if until is None else f", until {until[:16].replace('T', ' ')} UTC"
    return f"{REASONS[view.blocked]}{told}"
