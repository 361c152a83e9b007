"""`connections`: what the API worker does elsewhere, and the interval that only we know.

Tokens come from stdin or from a file, never from an argument: arguments are for everybody to see
in the list of processes. They are encrypted before anything else is done with them.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import click
import msgspec

from clearlift_adapters.cli.options import Flags, Group, moment
from clearlift_adapters.cli.output import Columns, print_json, print_line, when
from clearlift_adapters.cli.world import World, cipher_of, open_world
from clearlift_adapters.redacted import Redacted
from clearlift_adapters.sources import read_secret
from clearlift_adapters.stores.connections import ConnectionRow, Grant
from clearlift_engine.policy import Blocked, Candidate, assess, iso
from clearlift_engine.ports import Store

STDIN_CHARS_MAX: Final = 64 * 1024


class Tokens(Redacted, frozen=True):
    """What `connections add` reads, if it is JSON."""

    access_token: Annotated[str, msgspec.Meta(min_length=1)]
    refresh_token: str | None = None


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
    blocked: str | None  # Not due: by which clause,
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


@click.group("connections", cls=Group)
def command() -> None:
    """Add and look at connections where there is no API worker."""


@command.command()
@click.argument("platform")
@click.option("--organization", required=True, metavar="ID", help="Created if there is none.")
@click.option("--account-id", required=True, metavar="ID")
@click.option("--account-name", metavar="NAME")
@click.option("--connected-by", default="cli", show_default=True, metavar="USER")
@click.option(
    "--expires-at", type=moment, metavar="T", help="When the access token ends (ISO 8601)."
)
@click.option("--scopes", metavar="A,B", help="What the grant allows.")
@click.option("--interval", "interval_s", type=click.IntRange(min=1), metavar="S")
@click.option("--access-token-file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--refresh-token-file", type=click.Path(path_type=Path), metavar="FILE")
@click.pass_obj
def add(
    flags: Flags,
    *,
    platform: str,
    organization: str,
    account_id: str,
    account_name: str | None,
    connected_by: str,
    expires_at: int | None,
    scopes: str | None,
    interval_s: int | None,
    access_token_file: Path | None,
    refresh_token_file: Path | None,
) -> None:
    """Add a connection, or give new tokens to one that is there.

    The tokens are read from stdin: the access token on the first line, the refresh token on the
    second, or {"access_token": …, "refresh_token": …}.
    """
    tokens = _tokens(access_token_file, refresh_token_file)
    cipher = cipher_of(flags.settings)
    sealed = cipher.seal(tokens.access_token)
    refresh = cipher.seal(tokens.refresh_token) if tokens.refresh_token else None

    async def store() -> tuple[str, str]:
        async with open_world(flags, "rw") as world:
            grant = Grant(
                organization_id=organization,
                platform=platform,
                account_id=account_id,
                account_name=account_name,
                connected_by=connected_by,
                connected_at=iso(world.clock.now()),
                access=sealed,
                refresh=refresh,
                expires_at=when(expires_at),
                scopes=_scopes(scopes),
            )
            connection_id, outcome = await world.backend.connections.add(grant)
            if interval_s is not None:
                await world.backend.connections.set_interval(connection_id, interval_s)
            return connection_id, outcome

    connection_id, outcome = asyncio.run(store())
    if flags.json:
        print_json({"id": connection_id, "outcome": outcome})
    else:
        print_line(f"{outcome} {connection_id}")


@command.command("list")
@click.pass_obj
def list_(flags: Flags) -> None:
    """List all connections, with where each stands and when it is due."""
    asyncio.run(_list(flags))


async def _list(flags: Flags) -> None:
    columns = Columns("id", "state", "due", "last synced", "token ends", "sync status", "error")
    async with open_world(flags, "ro") as world:
        async for rows in world.backend.connections.pages():
            views = await _views(world, rows)
            if flags.json:
                for view in views:
                    print_json(view)
            else:
                columns.write(map(_summary, views))


@command.command()
@click.argument("connection_id", metavar="ID")
@click.pass_obj
def show(flags: Flags, *, connection_id: str) -> None:
    """Show all there is to know about a connection, but for its tokens."""
    view = asyncio.run(_show(flags, connection_id))
    if flags.json:
        print_json(view)
    else:
        columns = Columns("field", "value")
        columns.write((name, getattr(view, name)) for name in view.__struct_fields__)


async def _show(flags: Flags, connection_id: str) -> ConnectionView:
    async with open_world(flags, "ro") as world:
        [view] = await _views(world, [await _found(world, connection_id)])
        return view


@command.command("set")
@click.argument("connection_id", metavar="ID")
@click.option(
    "--interval",
    required=True,
    metavar="S",
    help="Seconds between two syncs, or `default` for the one of all.",
)
@click.pass_obj
def set_(flags: Flags, *, connection_id: str, interval: str) -> None:
    """Set the sync interval of one connection."""
    interval_s = _interval(interval)
    asyncio.run(_set(flags, connection_id, interval_s))
    if flags.json:
        print_json({"id": connection_id, "interval_s": interval_s})
    else:
        print_line(
            f"{connection_id}: every {interval_s} s" if interval_s else f"{connection_id}: as all"
        )


async def _set(flags: Flags, connection_id: str, interval_s: int | None) -> None:
    async with open_world(flags, "rw") as world:
        await _found(world, connection_id)
        await world.backend.connections.set_interval(connection_id, interval_s)


async def _found(world: World, connection_id: str) -> ConnectionRow:
    row = await world.backend.connections.show(connection_id)
    if row is None:
        raise click.BadParameter(f"there is no connection {connection_id!r}", param_hint="ID")
    return row


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
    due = "now" if view.due else view.blocked_until or view.blocked
    return (
        view.id,
        view.state,
        due,
        view.last_synced_at,
        view.expires_at,
        view.sync_status,
        view.sync_error,
    )


def _interval(text: str) -> int | None:
    if text == "default":
        return None
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"{text!r} is no number of seconds", param_hint="--interval")


def _scopes(text: str | None) -> str | None:
    """Return the JSON array that the column holds."""
    if text is None:
        return None
    return msgspec.json.encode(text.replace(",", " ").split()).decode()


def _tokens(access: Path | None, refresh: Path | None) -> Tokens:
    tokens = _typed() if access is None else Tokens(read_secret("--access-token-file", access))
    if refresh is None:
        return tokens
    if tokens.refresh_token:
        raise click.UsageError("there is a refresh token in --refresh-token-file and on stdin")
    return Tokens(tokens.access_token, read_secret("--refresh-token-file", refresh))


def _typed() -> Tokens:
    """Return the tokens that stdin brings, asked for without echo on a terminal."""
    if sys.stdin.isatty():
        access = click.prompt("Access token", hide_input=True, err=True)
        refresh = click.prompt(
            "Refresh token, if any", hide_input=True, err=True, default="", show_default=False
        )
        return Tokens(access, refresh or None)
    text = sys.stdin.read(STDIN_CHARS_MAX + 1)
    if len(text) > STDIN_CHARS_MAX:
        raise click.UsageError("stdin has more in it than two tokens")
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text, type=Tokens)
        except msgspec.MsgspecError:
            wanted = 'stdin is not JSON of the form {"access_token": "…", "refresh_token": "…"}'
            raise click.UsageError(wanted) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    match lines:
        case [access_token]:
            return Tokens(access_token)
        case [access_token, refresh_token]:
            return Tokens(access_token, refresh_token)
        case []:
            raise click.UsageError("no token on stdin: pipe it in, or name a file of it")
        case _:
            raise click.UsageError("stdin has more than two lines: access token, refresh token")
