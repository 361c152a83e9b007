"""`timeline`: the life of a connection, a line for each row of its log, as `replay ID` tells it."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.connections import absent
from clearlift_adapters.cli.options import Command, Flags, identifier
from clearlift_adapters.cli.output import (
    Columns,
    print_json,
    print_line,
    readable,
)
from clearlift_adapters.cli.questions import as_sql, print_sql
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.stores import questions
from clearlift_engine.policy import iso
from clearlift_engine.questions import Questions
from clearlift_engine.stream import Entry
from clearlift_engine.timeline import TimelineLine, lines

PAGE: Final = 500  # Rows of a life in memory at a time.


class EventView(msgspec.Struct, frozen=True):
    """A line of `timeline --json`, and of `replay CONNECTION --events`."""

    connection_id: str
    position: int
    occurred_at: str
    transition: str
    source: str | None
    target: str
    sentence: str


@click.command("timeline", cls=Command, short_help="Tell the life of a connection from the log.")
@click.argument("connection_id", type=identifier, metavar="ID")
@as_sql
@click.pass_obj
def command(flags: Flags, *, connection_id: str, sql: bool) -> None:
    """Tell the life of a connection, a line for each row of its log, oldest first.

    Also of one that was deleted: the log keeps it.
    """
    if sql:
        print_sql(questions.life(connection_id, 0, -1))
    else:
        stopping.run(_timeline(flags, connection_id))


async def _timeline(flags: Flags, connection_id: str) -> None:
    async with open_world(flags, "ro") as world:
        if await tell(world, connection_id, as_json=flags.json):
            return
        if await world.backend.connections.show(connection_id) is None:
            raise absent(connection_id)
        if not flags.json:
            print_line(f"{connection_id} has no events yet")


async def tell(world: World, connection_id: str, *, as_json: bool) -> bool:
    """Print a life, a page at a time; return whether there is anything to tell."""
    columns = Columns("position", "at", "transition", "to", "what")
    told = False
    async for page in pages(world.backend.questions, connection_id):
        told = True
        if as_json:
            for line in lines(page):
                print_json(event_view(connection_id, line))
        else:
            columns.write(
                (
                    line.position,
                    readable(iso(line.occurred_at)),
                    line.transition,
                    line.target,
                    line.sentence,
                )
                for line in lines(page)
            )
    return told


async def pages(questions: Questions, connection_id: str) -> AsyncIterator[Sequence[Entry]]:
    """Yield the rows of a connection's log, oldest first, some at a time."""
    after = 0
    while page := await questions.life(connection_id, after=after, limit=PAGE):
        yield page
        after = page[-1].version


def event_view(connection_id: str, line: TimelineLine) -> EventView:
    """Return a line as programs read it."""
    return EventView(
        connection_id,
        line.position,
        iso(line.occurred_at),
        line.transition,
        line.source,
        line.target,
        line.sentence,
    )
