"""`tick`: one pass over what is due, and with `--dry-run` the plan of one."""

import time
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.numbers import Seconds, count
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line
from clearlift_adapters.cli.runs import RunRow, recorded
from clearlift_adapters.cli.starting import refuse_unsafe
from clearlift_adapters.cli.stopping import Stop, Stopping, stop_on_signal
from clearlift_adapters.cli.telling import told
from clearlift_adapters.cli.tracing import Tracing, traced
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.settings import Settings
from clearlift_engine.relay import BATCH, drain
from clearlift_engine.run import TickOutcome, TickSettings
from clearlift_engine.tick import tick

# Answers that are under way at the deadline still come in and are committed.
RESERVE_S: Final = 20.0


@click.command("tick", cls=Command, short_help="Make one pass over what is due.")
@click.option("--relay", "delivers", is_flag=True, help="Deliver the jobs too: no relay needed.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done, and why.")
@click.option("--limit", type=count(), metavar="N", help="At most N connections.")
@click.option(
    "--deadline",
    "deadline_s",
    type=Seconds(more=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds after which it begins nothing new.",
)
@click.pass_obj
def command(
    flags: Flags, *, delivers: bool, dry_run: bool, limit: int | None, deadline_s: float
) -> int:
    """Create a job for each connection that is due, refreshing its token first if need be.

    --dry-run opens no token and asks no provider: that a token can be decrypted, and that its
    provider will take it, only the tick itself finds out.
    """
    if dry_run:
        return stopping.run(_plan(flags, limit))
    with traced(flags, "tick") as tracing:
        outcome = stopping.run(
            ticked(flags, tracing, delivers=delivers, limit=limit, deadline_s=deadline_s)
        )
        tracing.note(outcome, code_of(outcome, flags.settings))
    if flags.json:
        print_json(outcome.report)
    else:
        _print(outcome, delivers=delivers)
    return code_of(outcome, flags.settings)


async def ticked(
    flags: Flags,
    tracing: Tracing,
    *,
    delivers: bool,
    limit: int | None,
    deadline_s: float,
    stopping: Stopping = stop_on_signal,
) -> TickOutcome:
    """Make one pass, with all that belongs to a run of the command."""
    started = time.monotonic()
    async with told(flags) as telling:
        refuse_unsafe(flags)
        async with open_world(flags, "rw") as world:
            async with recorded(world, "tick", telling.run_id) as run:
                until = started + deadline_s
                with stopping() as stop:
                    outcome = await _pass(
                        world, tracing, run, stop, delivers=delivers, limit=limit, until=until
                    )
                duration_ms = round((time.monotonic() - started) * 1000)
                report = msgspec.structs.replace(outcome.report, duration_ms=duration_ms)
                outcome = outcome._replace(report=report)
                run.report, run.code = report, code_of(outcome, world.settings)
            telling.report, telling.code = run.report, run.code
            await telling.conclude(world)
            return outcome


async def _pass(
    world: World,
    tracing: Tracing,
    run: RunRow,
    stop: Stop,
    *,
    delivers: bool,
    limit: int | None,
    until: float,
) -> TickOutcome:
    left_s = until - time.monotonic()
    queue = world.backend.queue
    at_once = delivers and queue.level == "same_transaction"
    outcome = await tick(
        tracing.of_tick(world.tick_ports._replace(queue=queue if at_once else None)),
        _settings(world, limit),
        run_id=run.id,
        now_ms=run.begun_at,
        should_stop=stop.asked_by(left_s - min(RESERVE_S, left_s / 2)),
        note=run.note,
    )
    if not delivers:
        return outcome
    delivered = outcome.report.delivered
    delivered += await _deliver(world, tracing, run, stop, until - time.monotonic())
    report = msgspec.structs.replace(outcome.report, delivered=delivered)
    return outcome._replace(report=report)


async def _deliver(world: World, tracing: Tracing, run: RunRow, stop: Stop, left_s: float) -> int:
    relayed = await drain(
        tracing.of_relay(world.relay_ports),
        run_id=run.id,
        batch=BATCH,
        should_stop=stop.asked_by(left_s),
        note=run.note,
        gather_ms=world.backend.gather_ms,
    )
    return relayed.delivered


def _settings(world: World, limit: int | None) -> TickSettings:
    settings, backend = world.settings, world.backend
    return TickSettings(
        settings.schedule, settings.batch_size, limit, backend.gather_ms, backend.claims_max
    )


def code_of(outcome: TickOutcome, settings: Settings) -> int:
    """Return the exit code: what is misconfigured comes before what failed."""
    report = outcome.report
    if outcome.problems:
        return exits.MISCONFIGURED
    if report.failed * 100 > settings.fail_threshold_percent * report.due:
        return exits.MANY_FAILED
    return exits.DONE


def _print(outcome: TickOutcome, *, delivers: bool) -> None:
    report = outcome.report
    reasons = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in outcome.deferrals.items())
    deferred = f"{report.deferred} deferred" + (f" ({reasons})" if reasons else "")
    delivered = ""
    if delivers:
        delivered = f"; {report.delivered} delivered"
    elif report.jobs_created:
        delivered = "; what was created waits for `clearlift-cron relay`"
    print_line(
        f"{report.due} due: {counted(report.jobs_created, 'job')} created, "
        f"{counted(report.refreshed, 'token')} refreshed, {report.failed} failed, "
        f"{deferred}{delivered}"
    )
    failures = Columns("failed", "class", "message")
    failures.write(
        (each.connection_id, each.failure_class, each.message) for each in report.failures
    )


async def _plan(flags: Flags, limit: int | None) -> int:
    from clearlift_adapters.cli.plan import plan, print_plan  # noqa: PLC0415  cron never asks for it

    async with open_world(flags, "ro") as world:
        found = await plan(world, _settings(world, limit))
    print_plan(found, as_json=flags.json)
    return exits.DONE
