"""`relay`: deliver what is in the outbox, for ever or until it is empty."""

import asyncio
from typing import Final

import click
import msgspec

from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.cli.runs import RunRow, recorded
from clearlift_adapters.cli.stopping import Stop, stop_on_signal
from clearlift_adapters.cli.world import World, open_world
from clearlift_engine.errors import UnavailableError
from clearlift_engine.relay import RelayReport, drain

BATCH: Final = 500
LONGEST_WAIT_S: Final = 60.0  # Between two tries while the queue or the database is away.


@click.command("relay", cls=Command)
@click.option("--drain", "once", is_flag=True, help="End when the outbox is empty.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.01),
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
    """Deliver jobs from the outbox to the queue until SIGTERM; it ends cleanly."""
    report = asyncio.run(_relay(flags, once=once, interval_s=interval_s, batch=batch))
    if flags.json:
        print_json(report)
    else:
        print_line(
            f"{report.delivered} delivered, {report.already_delivered} already delivered, "
            f"{report.pending} pending"
        )


async def _relay(flags: Flags, *, once: bool, interval_s: float, batch: int) -> RelayReport:
    async with open_world(flags, "rw") as world, recorded(world, "relay") as run:
        with stop_on_signal() as stop:
            if once:
                report = await _drained(world, run, stop, batch)
            else:
                report = await _served(world, run, stop, batch, interval_s)
        run.report = report
        return report


async def _drained(world: World, run: RunRow, stop: Stop, batch: int) -> RelayReport:
    return await drain(
        world.relay_ports, run_id=run.id, batch=batch, should_stop=stop.asked, note=world.log.note
    )


async def _served(
    world: World, run: RunRow, stop: Stop, batch: int, interval_s: float
) -> RelayReport:
    """Drain again and again; what is away for a while is waited for, ever longer."""
    total = RelayReport(run.id, delivered=0, already_delivered=0, pending=0, duration_ms=0)
    wait_s = interval_s
    while not stop.asked():
        try:
            report = await _drained(world, run, stop, batch)
        except UnavailableError as exc:
            world.log.note("warning", "waiting", why=str(exc), seconds=wait_s)
            await stop.wait(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            continue
        wait_s = interval_s
        total = _sum(total, report)
        if report.delivered:
            world.log.note("info", "delivered", jobs=report.delivered, pending=report.pending)
        await stop.wait(interval_s)
    return total


def _sum(total: RelayReport, report: RelayReport) -> RelayReport:
    return msgspec.structs.replace(
        report,
        delivered=total.delivered + report.delivered,
        already_delivered=total.already_delivered + report.already_delivered,
        duration_ms=total.duration_ms + report.duration_ms,
    )
