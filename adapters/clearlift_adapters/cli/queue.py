"""`queue`: look at the queue, and take from it as a consumer does."""

import asyncio
from collections.abc import Sequence

import click
import msgspec

from clearlift_adapters.cli.options import Flags, Group
from clearlift_adapters.cli.output import Columns, print_json, print_line, when
from clearlift_adapters.cli.world import open_world

_ALL = 2**62  # As many as there are.


class StoredView(msgspec.Struct, frozen=True):
    """A line of `queue list --json`."""

    job_id: str
    body: object
    attempts: int
    enqueued_at: str | None


class DeliveryView(msgspec.Struct, frozen=True):
    """A line of `queue pull --json`."""

    job_id: str
    body: object
    attempts: int
    enqueued_at: str | None
    lease_id: str


class DepthView(msgspec.Struct, frozen=True):
    """What `queue depth --json` prints."""

    messages: int
    dead: int | None
    oldest_at: str | None
    oldest_age_s: int | None


@click.group("queue", cls=Group)
def command() -> None:
    """Look at the queue, or take messages from the embedded one."""


@command.command("list")
@click.option("--dead", is_flag=True, help="The dead letters instead.")
@click.option("--limit", type=click.IntRange(min=1), default=_ALL, metavar="N", help="The first N.")
@click.pass_obj
def list_(flags: Flags, *, dead: bool, limit: int) -> None:
    """Show the messages in the embedded queue, oldest first, without taking them."""
    asyncio.run(_list(flags, dead=dead, limit=limit))


async def _list(flags: Flags, *, dead: bool, limit: int) -> None:
    async with open_world(flags, "ro") as world:
        messages = await world.backend.inbox.peek(limit=limit, dead=dead)
    columns = Columns("job", "attempts", "enqueued at", "body")
    for message in messages:
        if flags.json:
            at = when(message.enqueued_at)
            print_json(StoredView(message.job_id, _body(message.body), message.attempts, at))
    if not flags.json:
        columns.write((m.job_id, m.attempts, when(m.enqueued_at), m.body) for m in messages)


@command.command()
@click.pass_obj
def depth(flags: Flags) -> None:
    """Show how many messages wait, since when, and how many are dead letters."""
    view = asyncio.run(_depth(flags))
    if flags.json:
        print_json(view)
    else:
        since = "" if view.oldest_at is None else f", the oldest since {view.oldest_at}"
        dead = "" if view.dead is None else f"; {view.dead} dead letters"
        print_line(f"{view.messages} messages{since}{dead}")


async def _depth(flags: Flags) -> DepthView:
    async with open_world(flags, "ro") as world:
        found = await world.backend.queue.depth()
        age_s = None
        if found.oldest_at is not None:
            age_s = max(world.clock.now() - found.oldest_at, 0) // 1000
        return DepthView(found.messages, found.dead, when(found.oldest_at), age_s)


@command.command()
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N")
@click.option(
    "--visibility",
    "visibility_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds until what is not acknowledged comes again.",
)
@click.pass_obj
def pull(flags: Flags, *, limit: int, visibility_s: float) -> None:
    """Take messages; each comes again unless it is acknowledged by its lease."""
    asyncio.run(_pull(flags, limit, visibility_s))


async def _pull(flags: Flags, limit: int, visibility_s: float) -> None:
    async with open_world(flags, "rw") as world:
        deliveries = await world.backend.inbox.pull(
            limit, visibility_ms=round(visibility_s * 1000), now_ms=world.clock.now()
        )
    columns = Columns("lease", "job", "attempts", "body")
    for each in deliveries:
        if flags.json:
            at = when(each.enqueued_at)
            body = _body(each.body)
            print_json(DeliveryView(each.job_id, body, each.attempts, at, each.lease_id))
    if not flags.json:
        columns.write((each.lease_id, each.job_id, each.attempts, each.body) for each in deliveries)


@command.command()
@click.argument("leases", nargs=-1, required=True, metavar="LEASE...")
@click.pass_obj
def ack(flags: Flags, *, leases: tuple[str, ...]) -> None:
    """Remove messages that were pulled and are done."""
    removed = asyncio.run(_ack(flags, leases))
    _count(flags, "acknowledged", removed)


async def _ack(flags: Flags, leases: Sequence[str]) -> int:
    async with open_world(flags, "rw") as world:
        return await world.backend.inbox.ack(leases)


@command.command()
@click.argument("leases", nargs=-1, required=True, metavar="LEASE...")
@click.option(
    "--delay",
    "delay_s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="S",
    help="Seconds until they come again.",
)
@click.pass_obj
def retry(flags: Flags, *, leases: tuple[str, ...], delay_s: float) -> None:
    """Give back messages that were pulled, to be delivered again."""
    returned = asyncio.run(_retry(flags, leases, delay_s))
    _count(flags, "returned", returned)


async def _retry(flags: Flags, leases: Sequence[str], delay_s: float) -> int:
    async with open_world(flags, "rw") as world:
        return await world.backend.inbox.retry(
            leases, delay_ms=round(delay_s * 1000), now_ms=world.clock.now()
        )


def _count(flags: Flags, what: str, number: int) -> None:
    if flags.json:
        print_json({what: number})
    else:
        print_line(f"{number} {what}")


def _body(text: str) -> object:
    """Return a body as the JSON that it is, or as text if somebody else put that there."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text
