"""`tick`: one pass over what is due, and with `--dry-run` the plan of one."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import Columns, print_json, print_line
from clearlift_adapters.cli.relay import BATCH
from clearlift_adapters.cli.runs import RunRow, recorded
from clearlift_adapters.cli.stopping import Stop, stop_on_signal
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.settings import Settings
from clearlift_engine.events import SyncWindow
from clearlift_engine.preview import LeftAlone, PlannedJob, PlannedRefresh, TickPlan, preview
from clearlift_engine.relay import drain
from clearlift_engine.run import TickOutcome, TickReport, TickSettings
from clearlift_engine.tick import tick

# Answers that are under way at the deadline still come in and are committed.
RESERVE_S: Final = 20.0


@click.command("tick", cls=Command)
@click.option("--relay", "delivers", is_flag=True, help="Deliver the jobs too: no relay needed.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would be done, and why.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N connections.")
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds after which it begins nothing new.",
)
@click.pass_obj
def command(
    flags: Flags, *, delivers: bool, dry_run: bool, limit: int | None, deadline_s: float
) -> int:
    """Create a job for each connection that is due, refreshing its token first if need be."""
    if dry_run:
        return asyncio.run(_plan(flags, limit=limit))
    outcome = asyncio.run(_tick(flags, delivers=delivers, limit=limit, deadline_s=deadline_s))
    if flags.json:
        print_json(outcome.report)
    else:
        _print(outcome.report)
    return code_of(outcome, flags.settings)


async def _tick(
    flags: Flags, *, delivers: bool, limit: int | None, deadline_s: float
) -> TickOutcome:
    started = time.monotonic()
    async with open_world(flags, "rw") as world, recorded(world, "tick") as run:
        with stop_on_signal() as stop:
            claims_s = deadline_s - min(RESERVE_S, deadline_s / 2)
            report, problems = await tick(
                world.tick_ports,
                _settings(world.settings, limit, world.backend.gather_ms),
                run_id=run.id,
                now_ms=run.begun_at,
                should_stop=stop.asked_by(claims_s),
                note=world.log.bind(run_id=run.id).note,
            )
            delivered = 0
            if delivers:
                left_s = deadline_s - (time.monotonic() - started)
                delivered = await _deliver(world, run, stop, left_s)
        report = msgspec.structs.replace(
            report,
            delivered=delivered,
            duration_ms=round((time.monotonic() - started) * 1000),
        )
        outcome = TickOutcome(report, problems)
        run.report, run.code = report, code_of(outcome, world.settings)
        return outcome


async def _deliver(world: World, run: RunRow, stop: Stop, left_s: float) -> int:
    relayed = await drain(
        world.relay_ports,
        run_id=run.id,
        batch=BATCH,
        should_stop=stop.asked_by(left_s),
        note=world.log.bind(run_id=run.id).note,
    )
    return relayed.delivered


def _settings(settings: Settings, limit: int | None, gather_ms: int = 0) -> TickSettings:
    return TickSettings(settings.schedule, settings.batch_size, limit, gather_ms)


def code_of(outcome: TickOutcome, settings: Settings) -> int:
    """Return the exit code: what is misconfigured comes before what failed."""
    report = outcome.report
    if outcome.problems:
        return exits.MISCONFIGURED
    if report.failed * 100 > settings.fail_threshold_percent * report.due:
        return exits.MANY_FAILED
    return exits.DONE


def _print(report: TickReport) -> None:
    print_line(
        f"{report.due} due: {report.jobs_created} jobs created, "
        f"{report.refreshed} tokens refreshed, {report.failed} failed, "
        f"{report.deferred} deferred; {report.delivered} delivered"
    )
    failures = Columns("failed", "class", "message")
    failures.write(
        (each.connection_id, each.failure_class, each.message) for each in report.failures
    )


class PlanView(msgspec.Struct, frozen=True):
    """What `tick --dry-run --json` prints."""

    jobs: Sequence[PlannedJob]
    refreshes: Sequence[PlannedRefresh]
    blocked: Sequence[LeftAlone]


async def _plan(flags: Flags, *, limit: int | None) -> int:
    async with open_world(flags, "ro") as world:
        plan = await preview(
            world.backend.store,
            world.backend.survey,
            world.refresher,
            _settings(world.settings, limit),
            now_ms=world.clock.now(),
        )
    if flags.json:
        print_json(PlanView(plan.jobs, plan.refreshes, plan.blocked))
    else:
        _print_plan(plan)
    return exits.DONE


def _print_plan(plan: TickPlan) -> None:
    print_line(
        f"at {plan.now}: {len(plan.jobs)} jobs, {len(plan.refreshes)} of them after a token "
        f"refresh; {len(plan.blocked)} blocked, {plan.not_due} not due"
    )
    jobs = Columns("job for", "type", "window from", "to", "refresh first")
    jobs.write(
        (job.connection_id, job.job_type, *_window(job.sync_window), job.after_refresh)
        for job in plan.jobs
    )
    blocked = Columns("blocked", "clause", "until", "why")
    blocked.write((each.connection_id, each.clause, each.until, each.why) for each in plan.blocked)


def _window(window: SyncWindow) -> tuple[str, str]:
    return window.start, window.end
