"""`connections`: what the API worker does elsewhere, and the interval that only we know.

Whether a connection is due, and what it waits for if not, is told by the very rule that `tick`
decides with, in the words of `tick --dry-run`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.connect import add
from clearlift_adapters.cli.numbers import SECONDS_MAX
from clearlift_adapters.cli.options import Flags, Group
from clearlift_adapters.cli.output import Columns, print_json, print_line, readable, when
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.stores.connections import ConnectionRow
from clearlift_engine.policy import Blocked, Candidate, Clause, assess
from clearlift_engine.ports import Store
from clearlift_engine.preview import REASONS

_SECONDS: Final = re.compile(r"\d{1,10}", re.ASCII)


class ConnectionView(msgspec.Struct, frozen=True):
    """What `connections show --json` prints, and a line of `connections list --json`."""

    id: str
    organization_id: str
    platform: str
    account_id: str
    account_name: str | None
    is_active: bool
    state: str | None  # None: no tick has seen it yet.
    due: bool
    blocked: Clause | None  # Not due: by which clause,
    blocked_until: str | None  # and until when, if that is known.
    last_synced_at: str | None
    sync_status: str | None
    sync_error: str | None
    expires_at: str | None
    interval_s: int
    has_access_token: bool
    has_refresh_token: bool
    scopes: str | None
    connected_by: str
    connected_at: str | None
    version: int | None
    changed_at: str | None
    job_id: str | None
    retry_at: str | None
    failures: int | None


@click.group("connections", cls=Group, short_help="Add connections, and look at them.")
def command() -> None:
    """Add and look at connections where there is no API worker."""


command.add_command(add)


@command.command("list", short_help="List all connections: where each stands, when it is due.")
@click.pass_obj
def list_(flags: Flags) -> None:
    """List all connections, with where each stands, when it is due and what it waits for.

    All times are UTC.
    """
    stopping.run(_list(flags))


async def _list(flags: Flags) -> None:
    columns = Columns(
        *("id", "state", "due", "waits for", "last synced", "token ends", "sync status", "error")
    )
    async with open_world(flags, "ro") as world:
        async for rows in world.backend.connections.pages():
            views = await _views(world, rows)
            if flags.json:
                for view in views:
                    print_json(view)
            else:
                columns.write(map(_summary, views))


@command.command(short_help="Show all there is to know about one, but for its tokens.")
@click.argument("connection_id", metavar="ID")
@click.pass_obj
def show(flags: Flags, *, connection_id: str) -> None:
    """Show all there is to know about a connection, but for its tokens."""
    view = stopping.run(_show(flags, connection_id))
    if flags.json:
        print_json(view)
    else:
        columns = Columns("field", "value")
        columns.write((name, getattr(view, name)) for name in view.__struct_fields__)


async def _show(flags: Flags, connection_id: str) -> ConnectionView:
    async with open_world(flags, "ro") as world:
        return await viewed(world, connection_id)


async def viewed(world: World, connection_id: str) -> ConnectionView:
    """Return a connection as `connections show` prints it.

    Raises:
        click.BadParameter: there is none of this id.
    """
    [view] = await _views(world, [await _found(world, connection_id)])
    return view


@command.command("set", short_help="Set the sync interval of one.")
@click.argument("connection_id", metavar="ID")
@click.option(
    "--interval",
    required=True,
    metavar="S",
    help="Seconds between two syncs, or `default` for the default interval.",
)
@click.pass_obj
def set_(flags: Flags, *, connection_id: str, interval: str) -> None:
    """Set the sync interval of one connection."""
    interval_s = _interval(interval)
    stopping.run(_set(flags, connection_id, interval_s))
    if flags.json:
        print_json({"id": connection_id, "interval_s": interval_s})
    else:
        every = f"every {interval_s} s" if interval_s else "the default interval"
        print_line(f"{connection_id}: {every}")


async def _set(flags: Flags, connection_id: str, interval_s: int | None) -> None:
    async with open_world(flags, "rw") as world:
        await _found(world, connection_id)
        await world.backend.connections.set_interval(connection_id, interval_s)


async def _found(world: World, connection_id: str) -> ConnectionRow:
    row = await world.backend.connections.show(connection_id)
    if row is None:
        raise absent(connection_id)
    return row


def absent(connection_id: str) -> click.BadParameter:
    """Return the refusal of an id that nothing has."""
    return click.BadParameter(
        f"there is no connection {connection_id!r}: see `clearlift-cron connections list`",
        param_hint="ID",
    )


async def _views(world: World, rows: Sequence[ConnectionRow]) -> Sequence[ConnectionView]:
    """Return rows with what tick would say of them: by the very rule that it decides with."""
    facts = await _facts(world.backend.store, rows)
    now_ms, schedule = world.clock.now(), world.settings.schedule
    views: list[ConnectionView] = []
    for row in rows:
        conn = facts.get(row.id)
        if conn is None:
            continue  # Deleted since it was listed.
        found = assess(conn, now_ms, schedule)
        blocked = found if isinstance(found, Blocked) else None
        views.append(_view(row, blocked, schedule.interval_ms // 1000))
    return views


async def _facts(store: Store, rows: Sequence[ConnectionRow]) -> Mapping[str, Candidate]:
    return {conn.connection_id: conn for conn in await store.candidates([row.ref for row in rows])}


def _view(row: ConnectionRow, blocked: Blocked | None, interval_s: int) -> ConnectionView:
    return ConnectionView(
        id=row.id,
        organization_id=row.organization_id,
        platform=row.platform,
        account_id=row.account_id,
        account_name=row.account_name,
        is_active=bool(row.is_active),
        state=row.state,
        due=blocked is None,
        blocked=None if blocked is None else blocked.clause,
        blocked_until=None if blocked is None else when(blocked.until),
        last_synced_at=row.last_synced_at,
        sync_status=row.sync_status,
        sync_error=row.sync_error,
        expires_at=row.expires_at,
        interval_s=row.interval_s or interval_s,
        has_access_token=bool(row.has_access_token),
        has_refresh_token=bool(row.has_refresh_token),
        scopes=row.scopes,
        connected_by=row.connected_by,
        connected_at=row.connected_at,
        version=row.version,
        changed_at=when(row.changed_at),
        job_id=row.job_id,
        retry_at=when(row.retry_at),
        failures=row.failures,
    )


def _summary(view: ConnectionView) -> Sequence[object]:
    return (
        view.id,
        view.state,
        "now" if view.due else readable(view.blocked_until),
        None if view.blocked is None else REASONS[view.blocked],
        readable(view.last_synced_at),
        readable(view.expires_at),
        view.sync_status,
        view.sync_error,
    )


def _interval(text: str) -> int | None:
    if text == "default":
        return None
    if _SECONDS.fullmatch(text) and 0 < int(text) <= SECONDS_MAX:
        return int(text)
    said = f"{text[:80]!r} is not a number of seconds from 1 to {SECONDS_MAX}"
    raise click.BadParameter(said, param_hint="--interval")
