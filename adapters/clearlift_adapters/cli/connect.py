"""`connections add`: a new connection, or new tokens for one that is there.

Tokens are encrypted before anything else is done with them. What a reconnect takes away, and what
looks like a slip of the pen, is said on stderr: later it could only be guessed from a failure.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.numbers import SECONDS_MAX
from clearlift_adapters.cli.options import Command, Flags, moment
from clearlift_adapters.cli.output import print_json, print_line, when
from clearlift_adapters.cli.tokens import read_tokens
from clearlift_adapters.cli.world import World, cipher_of, open_world
from clearlift_adapters.logs import Log
from clearlift_adapters.sources import nearest
from clearlift_adapters.stores.connections import Grant, Kept
from clearlift_engine.policy import iso

SLIP: Final = 0.8  # How much alike: gogle is a slip of the pen, google-ads is some other platform.


def _filled(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Return a part of the connection's id, which must not be blank."""
    if not value.strip():
        raise click.BadParameter("it is empty")
    return value


@click.command("add", cls=Command, short_help="Add a connection, or reconnect one.")
@click.argument("platform", callback=_filled)
@click.option(
    "--organization",
    required=True,
    callback=_filled,
    metavar="ID",
    help="Whose connection it is; created if there is none.",
)
@click.option(
    "--account-id",
    required=True,
    callback=_filled,
    metavar="ID",
    help="The account on the platform, by the platform's own id.",
)
@click.option("--account-name", metavar="NAME", help="What people call the account.")
@click.option(
    "--connected-by",
    default="cli",
    show_default=True,
    metavar="USER",
    help="The user who gave consent.",
)
@click.option(
    "--expires-at",
    type=moment,
    metavar="T",
    help="When the access token ends (ISO 8601); without it, it counts as lasting.",
)
@click.option("--scopes", metavar="A,B", help="What the grant allows.")
@click.option(
    "--interval",
    "interval_s",
    type=click.IntRange(1, SECONDS_MAX),
    metavar="S",
    help="Seconds between two syncs, if not the default.",
)
@click.option(
    "--access-token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the access token from there, and nothing from stdin.",
)
@click.option(
    "--refresh-token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the refresh token from there.",
)
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

    A reconnect replaces access token, refresh token and expiry together: what is not given again is
    removed. Account name, scopes and interval stay unless they are given.
    """
    tokens = read_tokens(access_token_file, refresh_token_file)
    cipher = cipher_of(flags.settings)
    grant = Grant(
        organization_id=organization,
        platform=platform,
        account_id=account_id,
        account_name=account_name,
        connected_by=connected_by,
        connected_at="",  # Once the clock is known.
        access=cipher.seal(tokens.access_token),
        refresh=cipher.seal(tokens.refresh_token) if tokens.refresh_token else None,
        expires_at=when(expires_at),
        scopes=_scopes(scopes),
    )
    kept = stopping.run(_store(flags, grant, interval_s))
    if flags.json:
        print_json({"id": kept.connection_id, "outcome": kept.outcome})
    else:
        print_line(f"{kept.outcome} {kept.connection_id}")


async def _store(flags: Flags, grant: Grant, interval_s: int | None) -> Kept:
    async with open_world(flags, "rw") as world:
        connections = world.backend.connections
        _refuse_slip(grant.platform, world.refresher.providers.keys())
        grant = msgspec.structs.replace(grant, connected_at=iso(world.clock.now()))
        kept = await connections.add(grant)
        if interval_s is not None:
            await connections.set_interval(kept.connection_id, interval_s)
        _warn_of_platform(world, grant.platform)
        _warn_of_losses(world.log.bind(connection_id=kept.connection_id), kept)
        return kept


def _refuse_slip(platform: str, known: Collection[str]) -> None:
    """Refuse a platform that is spelt almost like one that is known."""
    near = None if platform in known else nearest(platform, known, alike=SLIP)
    if near is not None:
        raise click.BadParameter(
            f"{platform!r} is neither built in nor declared: did you mean {near!r}? A platform "
            "that is really called so needs a [providers] table of the configuration file",
            param_hint="PLATFORM",
        )


def _warn_of_platform(world: World, platform: str) -> None:
    known = world.refresher.providers.keys()
    if platform not in known:
        world.log.note("warning", unknown_platform(platform, known))


def unknown_platform(platform: str, known: Collection[str]) -> str:
    """Return what is said of a platform that nobody can refresh tokens of."""
    near = nearest(platform, known)
    meant = "" if near is None else f": did you mean {near!r}?"
    return (
        f"the platform {platform!r} is neither built in nor declared{meant or ';'} its tokens "
        "cannot be refreshed unless a [providers] table of the configuration file declares it"
    )


def _warn_of_losses(log: Log, kept: Kept) -> None:
    if kept.lost_refresh_token:
        log.note(
            "warning",
            "no refresh token given: the stored one was removed; if the platform refreshes by it, "
            "add the connection again with both tokens before the access token ends",
        )
    if kept.lost_expiry:
        log.note(
            "warning",
            "no expiry given: the stored one was removed; the access token counts as lasting, "
            "and is not refreshed, unless --expires-at says when it ends",
        )


def _scopes(text: str | None) -> str | None:
    """Return the JSON array that the column holds."""
    if text is None:
        return None
    return msgspec.json.encode(text.replace(",", " ").split()).decode()
