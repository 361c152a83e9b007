"""`queue`: look at the queue, and take from it as a consumer does."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.numbers import COUNT_MAX, Seconds, count
from clearlift_adapters.cli.options import Flags, Group
from clearlift_adapters.cli.output import (
    Columns,
    counted,
    print_json,
    print_line,
    readable,
    when,
)
from clearlift_adapters.cli.world import World, open_world

_ALL: Final = COUNT_MAX  # As many as there are.
_NO_LEASE: Final = "no message has this lease: it ran out, or was acknowledged already"
_NO_DEAD_LETTER: Final = "no dead letter has this job id: see `clearlift-cron queue list --dead`"


class StoredView(msgspec.Struct, frozen=True):
    """A line of `queue list`, unless it is shown on a terminal."""

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


@click.group("queue", cls=Group, short_help="Look at the queue, or take messages from it.")
def command() -> None:
    """Look at the queue, or take messages from the embedded one.

    The embedded queue delivers a message up to four times, once and in three retries; then it is a
    dead letter. Messages are kept for four days, and dead letters for four days from then on.
    `queue retry --dead` puts them back.
    """


@command.command("list", short_help="Show the messages, without taking them.")
@click.option("--dead", is_flag=True, help="The dead letters instead.")
@click.option("--limit", type=count(), default=_ALL, metavar="N", help="The first N.")
@click.pass_obj
def list_(flags: Flags, *, dead: bool, limit: int) -> None:
    """Show the messages in the embedded queue, oldest first, without taking them.

    A message that four deliveries, one and three retries, have not got rid of is a dead letter.
    Dead letters are kept for four days; `queue retry --dead JOB` puts them back.
    """
    stopping.run(_list(flags, dead=dead, limit=limit))


async def _list(flags: Flags, *, dead: bool, limit: int) -> None:
    async with open_world(flags, "ro") as world:
        messages = await world.backend.inbox.peek(limit=limit, dead=dead)
    if flags.json or not sys.stdout.isatty():  # Who reads a pipe counts on a line a message.
        for message in messages:
            at = when(message.enqueued_at)
            print_json(StoredView(message.job_id, _body(message.body), message.attempts, at))
    else:
        columns = Columns("job", "attempts", "enqueued at", "body")
        columns.write(
            (m.job_id, m.attempts, readable(when(m.enqueued_at)), m.body) for m in messages
        )


@command.command(short_help="Show how many messages wait, and since when.")
@click.pass_obj
def depth(flags: Flags) -> None:
    """Show how many messages wait, since when, and how many are dead letters."""
    view = stopping.run(_depth(flags))
    if flags.json:
        print_json(view)
    else:
        since = "" if view.oldest_at is None else f", the oldest since {view.oldest_at}"
        dead = "" if view.dead is None else f"; {counted(view.dead, 'dead letter')}"
        print_line(f"{counted(view.messages, 'message')}{since}{dead}")


async def _depth(flags: Flags) -> DepthView:
    async with open_world(flags, "ro") as world:
        found = await world.backend.queue.depth()
        age_s = None
        if found.oldest_at is not None:
            age_s = max(world.clock.now() - found.oldest_at, 0) // 1000
        return DepthView(found.messages, found.dead, when(found.oldest_at), age_s)


@command.command(short_help="Take messages, as a consumer does.")
@click.option(
    "--limit",
    type=count(),
    default=10,
    show_default=True,
    metavar="N",
    help="At most N messages.",
)
@click.option(
    "--visibility",
    "visibility_s",
    type=Seconds(),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds until what is not acknowledged comes again.",
)
@click.pass_obj
def pull(flags: Flags, *, limit: int, visibility_s: float) -> None:
    """Take messages; each comes again unless it is acknowledged by its lease."""
    stopping.run(_pull(flags, limit, visibility_s))


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


@command.command(short_help="Remove messages that were pulled and are done.")
@click.argument("leases", nargs=-1, required=True, metavar="LEASE...")
@click.pass_obj
def ack(flags: Flags, *, leases: tuple[str, ...]) -> int:
    """Remove messages that were pulled and are done.

    The exit code is 1 if no message has one of the leases.
    """

    async def remove(world: World, lease_id: str) -> int:
        return await world.backend.inbox.ack([lease_id])

    return stopping.run(_each(flags, "acknowledged", leases, remove, _NO_LEASE))


@command.command(short_help="Give back what was pulled, or put dead letters back.")
@click.argument("ids", nargs=-1, required=True, metavar="LEASE|JOB...")
@click.option(
    "--dead", is_flag=True, help="Put dead letters back, by their job ids, as if they came now."
)
@click.option(
    "--delay",
    "delay_s",
    type=Seconds(),
    default=0.0,
    show_default=True,
    metavar="S",
    help="Seconds until they come again.",
)
@click.pass_obj
def retry(flags: Flags, *, ids: tuple[str, ...], dead: bool, delay_s: float) -> int:
    """Give back messages that were pulled, by their leases, to be delivered again.

    With --dead, put dead letters back into the queue, by their job ids: each has four deliveries
    and four days again.

    The exit code is 1 if no message has one of the leases, or no dead letter one of the job ids.
    """
    delay_ms = round(delay_s * 1000)

    async def give_back(world: World, lease_id: str) -> int:
        now_ms = world.clock.now()
        return await world.backend.inbox.retry([lease_id], delay_ms=delay_ms, now_ms=now_ms)

    async def revive(world: World, job_id: str) -> int:
        now_ms = world.clock.now()
        return await world.backend.inbox.revive([job_id], delay_ms=delay_ms, now_ms=now_ms)

    if dead:
        return stopping.run(_each(flags, "returned", ids, revive, _NO_DEAD_LETTER))
    return stopping.run(_each(flags, "returned", ids, give_back, _NO_LEASE))


async def _each(
    flags: Flags,
    done: str,
    ids: Sequence[str],
    work: Callable[[World, str], Awaitable[int]],
    complaint: str,
) -> int:
    """Do `work` for each id; say how many are done, and which are not."""
    async with open_world(flags, "rw") as world:
        missed = [each for each in dict.fromkeys(ids) if not await work(world, each)]
    for each in missed:
        flags.log.note("warning", complaint, id=each)
    number = len(set(ids)) - len(missed)
    if flags.json:
        print_json({done: number})
    else:
        print_line(f"{number} {done}")
    return exits.UNEXPECTED if missed else exits.DONE


def _body(text: str) -> object:
    """Return a body as the JSON that it is, or as text if somebody else put that there."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text
