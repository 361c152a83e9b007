"""`status`: one screen on how the worker is, and what to do about what is not well."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.numbers import Seconds
from clearlift_adapters.cli.options import Command, Flags, moment
from clearlift_adapters.cli.output import (
    Grid,
    Part,
    counted,
    print_json,
    print_parts,
    readable,
    when,
)
from clearlift_adapters.cli.overview import look, look_back
from clearlift_adapters.cli.stopping import stop_on_signal
from clearlift_adapters.cli.watch import Page, again_and_again, page_by_page
from clearlift_adapters.cli.world import open_world
from clearlift_engine.alerts import OF_RUNS, Alert, alerts, error_rate, missed, spoken
from clearlift_engine.overview import Crowd, Overview

NEVER = "never served"  # What stands for the state of a connection without a stream.
INACTIVE = "inactive"
WATCH_S: Final = 10.0  # A look at D1 is some seven requests, of the 1,200 allowed in five minutes.


class StatusView(msgspec.Struct, frozen=True):
    """What `status --json` prints; of a moment in the past, null is what nobody knows of it."""

    at: str
    last_tick_at: str | None
    last_tick_outcome: str | None
    next_tick_at: str | None
    missed_ticks: int
    connections: Mapping[str, Mapping[str, int]]  # By platform, then by state.
    needs_reconnect: int | None
    tokens_expired: int | None
    tokens_expiring: int | None
    stuck: int | None
    waiting_for_relay: int
    waiting_since: str | None
    queue_messages: int | None
    queue_oldest_at: str | None
    error_rate: float
    alerts: Sequence[Alert]  # All that can be held against the moment.


@click.command("status", cls=Command, short_help="Show how the worker is, on one screen.")
@click.option(
    "--watch",
    "every_s",
    is_flag=False,
    flag_value=WATCH_S,
    type=Seconds(1),
    metavar="[SECONDS]",
    help=f"Look again and again, every {WATCH_S:g} seconds by default, until SIGTERM or Ctrl-C.",
)
@click.option(
    "--at", "at_ms", type=moment, metavar="TIME", help="As it was then (ISO 8601), from the log."
)
@click.pass_obj
def command(flags: Flags, *, every_s: float | None, at_ms: int | None) -> None:
    """Show the last tick and the next, connections by state, what waits, and what needs attention.

    Everything is read from the database and the queue; nothing is changed. Of a moment in the past
    the log knows ticks and states; tokens, the queue and what is inactive are known only of today.
    """
    if every_s is None:
        page = stopping.run(_look(flags, at_ms))
        if flags.json:
            print_json(page.view)
        else:
            print_parts(page.parts)
    elif at_ms is None:
        stopping.run(_watch(flags, every_s))
    else:
        raise click.UsageError("--watch looks at the present, --at at the past: choose one")


async def _look(flags: Flags, at_ms: int | None) -> Page:
    async with open_world(flags, "ro") as world:
        if at_ms is None:
            return _page(await look(world))
        if at_ms > world.clock.now():
            raise click.UsageError("--at is in the future: the log knows the past only")
        return _past_page(await look_back(world, at_ms))


async def _watch(flags: Flags, every_s: float) -> None:
    async with open_world(flags, "ro") as world:

        async def turn() -> Page:
            return _page(await look(world))

        with stop_on_signal() as stop, page_by_page(as_json=flags.json) as show:
            await again_and_again(turn, show, stop, every_s, world.log)


def _page(seen: Overview) -> Page:
    view = view_of(seen)
    return Page(view, list(_parts(view, seen)))


def _past_page(seen: Overview) -> Page:
    view = msgspec.structs.replace(
        view_of(seen),
        needs_reconnect=None,
        tokens_expired=None,
        tokens_expiring=None,
        stuck=None,
        alerts=[alert for alert in alerts(seen) if alert.name in OF_RUNS],
    )
    heading = (
        f"as it was at {readable(view.at)}, from the log; tokens, the queue, who needs a reconnect "
        "and who was inactive: unknown"
    )
    return Page(view, [heading, *_parts(view, seen)])


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
        waiting_since=when(seen.backlog.oldest_at),
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


def _parts(view: StatusView, seen: Overview) -> Iterator[Part]:
    yield _ticks(view, seen)
    yield from _waiting(view, seen)
    fired = [alert for alert in view.alerts if alert.firing]
    yield Grid(
        ("needs attention", "what", "do"),
        [(alert.name, alert.sentence, alert.next_step) for alert in fired],
    )
    yield Grid(
        ("platform", "state", "connections"),
        [
            (platform, state, number)
            for platform, counts in view.connections.items()
            for state, number in counts.items()
        ],
    )
    yield Grid(
        ("failed most often", "platform", "failures", "retry at"),
        [
            (each.connection_id, each.platform, each.failures, readable(when(each.retry_at)))
            for each in seen.worst
        ],
    )


def _ticks(view: StatusView, seen: Overview) -> str:
    if view.last_tick_at is None:
        return "no tick in the last day: run `clearlift-cron tick`, or see that cron does"
    ago = spoken(max(seen.at - seen.ticks[0].started_at, 0))
    return (
        f"last tick {readable(view.last_tick_at)}, {ago} ago: "
        f"{view.last_tick_outcome or 'not ended'}; next {readable(view.next_tick_at)}; "
        f"{counted(view.missed_ticks, 'tick')} missed in the last day"
    )


def _waiting(view: StatusView, seen: Overview) -> Iterator[str]:
    oldest_at = seen.backlog.oldest_at
    jobs = f"{counted(view.waiting_for_relay, 'job')} waiting for relay{_oldest(seen, oldest_at)}"
    rate = f"{view.error_rate:.1%} of what was due in the last hour failed"
    if view.tokens_expired is None:
        yield f"{jobs}; {rate}"
        return
    queue = "does not answer"
    if seen.queue is not None:
        queue = f"holds {seen.queue.messages}{_oldest(seen, seen.queue.oldest_at)}"
    yield f"{jobs}; the queue {queue}; {rate}"
    yield (
        f"{counted(view.tokens_expired, 'token')} expired, {view.tokens_expiring} expire within "
        f"a day; {view.needs_reconnect} need a reconnect; {view.stuck} stuck as syncing"
    )


def _oldest(seen: Overview, since_ms: int | None) -> str:
    return "" if since_ms is None else f", the oldest for {spoken(max(seen.at - since_ms, 0))}"
