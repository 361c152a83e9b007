"""`status`: one screen on how the worker is, and what to do about what is not well."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import click
import msgspec

from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line, readable, when
from clearlift_adapters.cli.overview import look
from clearlift_adapters.cli.world import open_world
from clearlift_engine.alerts import Alert, alerts, error_rate, missed, spoken
from clearlift_engine.overview import Crowd, Overview

NEVER = "never served"  # What stands for the state of a connection without a stream.
INACTIVE = "inactive"


class StatusView(msgspec.Struct, frozen=True):
    """What `status --json` prints."""

    at: str
    last_tick_at: str | None
    last_tick_outcome: str | None
    next_tick_at: str | None
    missed_ticks: int
    connections: Mapping[str, Mapping[str, int]]  # By platform, then by state.
    needs_reconnect: int
    tokens_expired: int
    tokens_expiring: int
    stuck: int
    waiting_for_relay: int
    queue_messages: int | None
    queue_oldest_at: str | None
    error_rate: float
    alerts: Sequence[Alert]


@click.command("status", cls=Command, short_help="Show how the worker is, on one screen.")
@click.pass_obj
def command(flags: Flags) -> None:
    """Show the last tick and the next, connections by state, what waits, and what needs attention.

    Everything is read from the database and the queue; nothing is changed.
    """
    seen = asyncio.run(_look(flags))
    view = view_of(seen)
    if flags.json:
        print_json(view)
    else:
        _print(view, seen)


async def _look(flags: Flags) -> Overview:
    async with open_world(flags, "ro") as world:
        return await look(world)


def view_of(seen: Overview) -> StatusView:
    """Return the facts as they are shown."""
    tick, crowds = next(iter(seen.ticks), None), seen.crowds
    return StatusView(
        at=str(when(seen.at)),
        last_tick_at=None if tick is None else when(tick.started_at),
        last_tick_outcome=None if tick is None else tick.outcome,
        next_tick_at=when(seen.next_tick_at),
        missed_ticks=len(missed(seen.expected_ticks, seen.ticks, seen.at)),
        connections=by_platform(crowds),
        needs_reconnect=sum(each.connections for each in crowds if each.needs_reconnect),
        tokens_expired=sum(each.expired for each in crowds if each.active),
        tokens_expiring=sum(each.expiring for each in crowds if each.active),
        stuck=sum(each.stuck for each in crowds if each.active),
        waiting_for_relay=seen.backlog.jobs,
        queue_messages=None if seen.queue is None else seen.queue.messages,
        queue_oldest_at=None if seen.queue is None else when(seen.queue.oldest_at),
        error_rate=error_rate(seen),
        alerts=alerts(seen),
    )


def by_platform(crowds: Sequence[Crowd]) -> Mapping[str, Mapping[str, int]]:
    """Return how many connections of each platform are in which state; those inactive apart."""
    found: dict[str, Counter[str]] = {}
    for crowd in crowds:
        state = (crowd.state or NEVER) if crowd.active else INACTIVE
        found.setdefault(crowd.platform, Counter())[state] += crowd.connections
    return found


def _print(view: StatusView, seen: Overview) -> None:
    if view.last_tick_at is None:
        print_line("no tick in the last day: run `clearlift-cron tick`, or see that cron does")
    else:
        ago = spoken(max(seen.at - seen.ticks[0].started_at, 0))
        print_line(
            f"last tick {readable(view.last_tick_at)}, {ago} ago: "
            f"{view.last_tick_outcome or 'not ended'}; next {readable(view.next_tick_at)}; "
            f"{counted(view.missed_ticks, 'tick')} missed in the last day"
        )
    queue = "does not answer" if view.queue_messages is None else f"holds {view.queue_messages}"
    print_line(f"{counted(view.waiting_for_relay, 'job')} waiting for relay; the queue {queue}")
    print_line(
        f"{counted(view.tokens_expired, 'token')} expired, {view.tokens_expiring} expire within "
        f"a day; {view.needs_reconnect} need a reconnect; {view.stuck} stuck as syncing"
    )
    states = Columns("platform", "state", "connections")
    states.write(
        (platform, state, number)
        for platform, counts in view.connections.items()
        for state, number in counts.items()
    )
    worst = Columns("failed most often", "platform", "failures", "retry at")
    worst.write(
        (each.connection_id, each.platform, each.failures, readable(when(each.retry_at)))
        for each in seen.worst
    )
    fired = [alert for alert in view.alerts if alert.firing]
    attention = Columns("needs attention", "what", "do")
    attention.write((alert.name, alert.sentence, alert.next_step) for alert in fired)
