"""`jobs`: the newest jobs with platform and account, or how many there are of each status."""

from collections.abc import Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.numbers import count
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line, readable, when
from clearlift_adapters.cli.questions import as_sql, beginning, print_sql, since
from clearlift_adapters.cli.world import open_world
from clearlift_adapters.stores import questions
from clearlift_engine.questions import JobCount, JobFact

RECENT: Final = 20


class JobView(msgspec.Struct, frozen=True):
    """A line of `jobs --json`."""

    id: str | None
    connection_id: str | None
    platform: str | None  # None: the connection was deleted since.
    account_name: str | None
    status: str | None
    job_type: str | None
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    records_synced: int | None
    error: str | None


@click.command("jobs", cls=Command, short_help="List the newest jobs, or count them by status.")
@click.option(
    "--recent",
    type=count(),
    metavar="N",
    help=f"The newest N.  [default: {RECENT}]",
)
@click.option("--by-status", is_flag=True, help="Count those created --since, by status.")
@since
@as_sql
@click.pass_context
def command(
    ctx: click.Context, *, recent: int | None, by_status: bool, since_ms: int, sql: bool
) -> None:
    """List the newest jobs, whoever made them, with platform and account; or count a period's.

    A job whose created_at is no time comes last, and is in no period.
    """
    flags = ctx.ensure_object(Flags)
    given = ctx.get_parameter_source("since_ms") is click.core.ParameterSource.COMMANDLINE
    if by_status and recent is not None:
        raise click.UsageError("--recent lists and --by-status counts: choose one")
    if given and not by_status:
        raise click.UsageError("--since goes with --by-status")
    if by_status:
        _count(flags, beginning(flags, since_ms), sql=sql)
    else:
        _list(flags, recent or RECENT, sql=sql)


def _count(flags: Flags, since_ms: int, *, sql: bool) -> None:
    if sql:
        print_sql(questions.jobs_by_status(since_ms))
        return
    counts = stopping.run(_counts(flags, since_ms))
    if flags.json:
        for count in counts:
            print_json(count)
        return
    columns = Columns("status", "jobs")
    columns.write((count.status, count.jobs) for count in counts)
    print_line(counted(sum(count.jobs for count in counts), "job"))


async def _counts(flags: Flags, since_ms: int) -> Sequence[JobCount]:
    async with open_world(flags, "ro") as world:
        return await world.backend.questions.jobs_by_status(since_ms=since_ms)


def _list(flags: Flags, limit: int, *, sql: bool) -> None:
    if sql:
        print_sql(questions.recent_jobs(limit))
        return
    views = [_view(job) for job in stopping.run(_jobs(flags, limit))]
    if flags.json:
        for view in views:
            print_json(view)
        return
    # Where no job has an error, the table fits a terminal.
    headings = ("created", "status", "type", "platform", "account", "connection", "job", "error")
    shown = len(headings) if any(view.error for view in views) else len(headings) - 1
    Columns(*headings[:shown]).write(_summary(view)[:shown] for view in views)


async def _jobs(flags: Flags, limit: int) -> Sequence[JobFact]:
    async with open_world(flags, "ro") as world:
        return await world.backend.questions.recent_jobs(limit=limit)


def _view(job: JobFact) -> JobView:
    return JobView(
        job.id,
        job.connection_id,
        job.platform,
        job.account_name,
        job.status,
        job.job_type,
        when(job.created_at),
        when(job.started_at),
        when(job.completed_at),
        job.records_synced,
        job.error,
    )


def _summary(view: JobView) -> Sequence[object]:
    return (
        readable(view.created_at),
        view.status,
        view.job_type,
        view.platform,
        view.account_name,
        view.connection_id,
        view.id,
        view.error,
    )
