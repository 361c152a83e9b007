"""`failures`: which connections failed in a period, how often, why, and what to do about each."""

from collections.abc import Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.numbers import count
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line, readable, when
from clearlift_adapters.cli.questions import as_sql, at_most, beginning, print_sql, since
from clearlift_adapters.cli.world import open_world
from clearlift_adapters.stores import questions
from clearlift_engine.advice import Advice, about_failing
from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import SyncFailed, decode
from clearlift_engine.policy import iso
from clearlift_engine.questions import Failing

LINES_MAX: Final = 100


class FailingView(msgspec.Struct, frozen=True):
    """A line of `failures --json`."""

    connection_id: str
    platform: str | None  # None: the connection was deleted since.
    account_name: str | None
    failures: int
    failed_at: str
    failure_class: str | None = msgspec.field(name="class")
    message: str
    code: str | None
    state: str | None
    retry_at: str | None
    advice: Advice


@click.command("failures", cls=Command, short_help="List who failed, how often, and what to do.")
@click.option(
    "--repeated",
    type=count(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Only those that failed more than N times.",
)
@since
@at_most(LINES_MAX)
@as_sql
@click.pass_obj
def command(flags: Flags, *, repeated: int, since_ms: int, limit: int, sql: bool) -> None:
    """List the connections that failed in a period, those that did most often first.

    By the log: what the consumer makes of a job is not in it. Each with its newest failure, and
    with what is to be done, by whom.
    """
    since_ms = beginning(flags, since_ms)
    if sql:
        print_sql(questions.failures(since_ms, repeated, limit))
        return
    found = stopping.run(_failures(flags, since_ms, repeated, limit))
    views = [_view(each) for each in found[:limit]]
    if flags.json:
        for view in views:
            print_json(view)
        return
    columns = Columns(
        *("connection", "platform", "account", "failures", "newest", "class", "message", "to do"),
        "next",
    )
    columns.write(map(_summary, views))
    often = f" more than {counted(repeated, 'time')}" if repeated else ""
    more = "at least " if len(found) > limit else ""
    print_line(f"{more}{counted(len(found), 'connection')} failed{often}")


async def _failures(flags: Flags, since_ms: int, more_than: int, limit: int) -> Sequence[Failing]:
    async with open_world(flags, "ro") as world:
        return await world.backend.questions.failures(
            since_ms=since_ms, more_than=more_than, limit=limit + 1
        )


def _view(failing: Failing) -> FailingView:
    event = _event(failing)
    return FailingView(
        failing.connection_id,
        failing.platform,
        failing.account_name,
        failing.failures,
        iso(failing.failed_at),
        event.failure_class if isinstance(event, SyncFailed) else None,
        event.message if isinstance(event, SyncFailed) else str(event),
        event.code if isinstance(event, SyncFailed) else None,
        failing.state,
        when(failing.retry_at),
        about_failing(failing),
    )


def _event(failing: Failing) -> object:
    """Return the newest failure, or why it cannot be read."""
    try:
        return decode(SyncFailed.transition, failing.data)
    except UnreadableEventError as exc:
        return exc


def _summary(view: FailingView) -> Sequence[object]:
    return (
        view.connection_id,
        view.platform,
        view.account_name,
        view.failures,
        readable(view.failed_at),
        view.failure_class,
        view.message,
        view.advice.sentence,
        view.advice.command,
    )
