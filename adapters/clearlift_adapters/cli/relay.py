"""`relay`: deliver what is in the outbox, for ever or until it is empty."""

from collections.abc import Awaitable, Callable
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.numbers import Seconds
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.cli.runs import recorded
from clearlift_adapters.cli.starting import refuse_unsafe
from clearlift_adapters.cli.stopping import Stop, Stopping, stop_on_signal
from clearlift_adapters.cli.world import open_world
from clearlift_adapters.logs import Log
from clearlift_engine.errors import ConfigurationError, UnavailableError
from clearlift_engine.relay import BATCH, RelayReport, drain

LONGEST_WAIT_S: Final = 60.0  # Between two tries while the queue or the database is away.


@click.command("relay", cls=Command, short_help="Deliver jobs from the outbox to the queue.")
@click.option("--drain", "once", is_flag=True, help="End when the outbox is empty.")
@click.option(
    "--interval",
    "interval_s",
    type=Seconds(0.01),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks into an empty outbox.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=BATCH,
    show_default=True,
    metavar="N",
    help="Jobs delivered together.",
)
@click.pass_obj
def command(flags: Flags, *, once: bool, interval_s: float, batch: int) -> None:
    """Deliver jobs from the outbox to the queue until SIGTERM; it ends cleanly.

    It is silent while all goes well: -v says what it delivers.
    """
    report = stopping.run(relayed(flags, once=once, interval_s=interval_s, batch=batch))
    if flags.json:
        print_json(report)
    else:
        print_line(
            f"{report.delivered} delivered, {report.already_delivered} already delivered, "
            f"{report.pending} pending"
        )


async def relayed(
    flags: Flags,
    *,
    once: bool,
    interval_s: float,
    batch: int,
    stopping: Stopping = stop_on_signal,
) -> RelayReport:
    """Deliver, with all that belongs to a run of the command."""
    refuse_unsafe(flags)
    async with open_world(flags, "rw") as world, recorded(world, "relay") as run:
        log = world.log
        until = "nothing waits" if once else "SIGTERM"
        with stopping() as stop:
            log.note("info", "relaying", to=world.backend.queue.name, until=until)

            async def drained() -> RelayReport:
                return await drain(
                    world.relay_ports,
                    run_id=run.id,
                    batch=batch,
                    should_stop=stop.asked,
                    note=run.note,
                    gather_ms=world.backend.gather_ms,
                )

            if once:
                report = await drained()
            else:
                nothing = RelayReport(run.id, 0, 0, 0, 0)
                report = await again_and_again(drained, nothing, stop, interval_s, log)
        run.report = report
        return report


async def again_and_again(
    drained: Callable[[], Awaitable[RelayReport]],
    total: RelayReport,
    stop: Stop,
    interval_s: float,
    log: Log,
) -> RelayReport:
    """Drain until asked to stop, and return the sum; what is away is waited for, ever longer."""
    wait_s = interval_s
    while not stop.asked():
        try:
            report = await drained()
        except UnavailableError as exc:
            if isinstance(exc, ConfigurationError):  # Waiting would not help.
                raise
            log.note("warning", "waiting", why=str(exc), seconds=wait_s)
            await stop.wait(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            continue
        wait_s = interval_s
        total = _sum(total, report)
        if report.delivered:
            log.note("info", "delivered", jobs=report.delivered, pending=report.pending)
        await stop.wait(interval_s)
    return total


def _sum(total: RelayReport, report: RelayReport) -> RelayReport:
    return msgspec.structs.replace(
        report,
        delivered=total.delivered + report.delivered,
        already_delivered=total.already_delivered + report.already_delivered,
        duration_ms=total.duration_ms + report.duration_ms,
    )
