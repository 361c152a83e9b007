"""`runs`: what ran, how long it took, what it cost, and how it ended."""

from collections.abc import Sequence

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import (
    Columns,
    counted,
    print_json,
    print_line,
    readable,
    when,
)
from clearlift_adapters.cli.questions import as_sql, at_most, beginning, print_sql, since
from clearlift_adapters.cli.world import open_world
from clearlift_adapters.stores import questions
from clearlift_engine.alerts import spoken
from clearlift_engine.overview import RUNS_MAX, RunFact
from clearlift_engine.policy import iso
from clearlift_engine.questions import Runs, Spent


class RunView(msgspec.Struct, frozen=True):
    """A line of `runs --json`."""

    id: str
    command: str
    started_at: str
    finished_at: str | None
    outcome: str | None  # None: still at work, or killed.
    duration_ms: int | None
    cpu_ms: int | None
    due: int
    jobs_created: int
    failed: int
    delivered: int
    error: str | None


class TotalView(msgspec.Struct, frozen=True):
    """The last line of `runs --json`."""

    total: Spent


@click.command(
    "runs", cls=Command, short_help="List what ran: how long, what it cost, how it ended."
)
@since
@click.option("--command", metavar="NAME", help="Only runs of this command.")
@at_most(RUNS_MAX)
@as_sql
@click.pass_obj
def runs(flags: Flags, *, since_ms: int, command: str | None, limit: int, sql: bool) -> None:
    """List the runs of a period, newest first, and what all of them add up to.

    CPU time is that of the process, user and system. A run without an outcome is still at work, or
    was killed. With --json, the last line is the total.
    """
    since_ms = beginning(flags, since_ms)
    if sql:
        print_sql(questions.runs(since_ms, command, limit))
        return
    found = stopping.run(_runs(flags, since_ms, command, limit))
    views = [_run(run) for run in found.found]
    if flags.json:
        for view in views:
            print_json(view)
        print_json(TotalView(found.total))
        return
    columns = Columns(
        *("started", "command", "outcome", "took ms", "cpu ms", "due", "jobs", "failed", "error")
    )
    columns.write(map(_summary, views))
    print_line(_total(found.total))


async def _runs(flags: Flags, since_ms: int, command: str | None, limit: int) -> Runs:
    async with open_world(flags, "ro") as world:
        return await world.backend.questions.runs(since_ms=since_ms, command=command, limit=limit)


def _run(run: RunFact) -> RunView:
    return RunView(
        run.id,
        run.command,
        iso(run.started_at),
        when(run.finished_at),
        run.outcome,
        run.duration_ms,
        run.cpu_ms,
        run.due,
        run.jobs_created,
        run.failed,
        run.delivered,
        run.error,
    )


def _summary(view: RunView) -> Sequence[object]:
    return (
        readable(view.started_at),
        view.command,
        view.outcome or "not ended",
        view.duration_ms,
        view.cpu_ms,
        view.due,
        view.jobs_created,
        view.failed,
        view.error,
    )


def _total(total: Spent) -> str:
    return (
        f"{counted(total.runs, 'run')}: {total.not_done} not done, {total.unfinished} not ended; "
        f"{counted(total.failed, 'connection')} failed; took {spoken(total.duration_ms)}, "
        f"CPU {total.cpu_ms / 1000:.1f} s"
    )
