"""`migrate`: create or upgrade our tables, and on an empty database the shared ones."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import click
import msgspec

from clearlift_adapters.backend import Backend, open_backend, sqlite_path
from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.cli.world import clock_of, cloudflare_of
from clearlift_adapters.migrations import migrate, migration_names, pending
from clearlift_adapters.stores.database import Mode


class MigrateReport(msgspec.Struct, frozen=True):
    """What `migrate --json` prints."""

    applied: Sequence[str]
    pending: Sequence[str]


@click.command("migrate", cls=Command, short_help="Create or upgrade the worker's tables.")
@click.option("--dry-run", is_flag=True, help="Change nothing; name what would be applied.")
@click.pass_obj
def command(flags: Flags, *, dry_run: bool) -> None:
    """Create or upgrade the worker's tables.

    On an empty database the tables of the API worker are created too; on one that has them, none
    of their rows and columns is changed.
    """
    report = stopping.run(_lacking(flags) if dry_run else _apply(flags))
    if flags.json:
        print_json(report)
        return
    for name in report.applied:
        print_line(f"applied {name}")
    for name in report.pending:
        print_line(f"would apply {name}")
    if not report.applied and not report.pending:
        print_line("nothing to apply")


async def _lacking(flags: Flags) -> MigrateReport:
    database = flags.settings.database
    if database.startswith("sqlite:") and not sqlite_path(database).exists():
        return MigrateReport([], migration_names())
    async with _open(flags, "ro") as backend:
        return MigrateReport([], await pending(backend.db))


async def _apply(flags: Flags) -> MigrateReport:
    async with _open(flags, "rwc") as backend:
        return MigrateReport(await migrate(backend.db), [])


def _open(flags: Flags, mode: Mode) -> AbstractAsyncContextManager[Backend]:
    settings = flags.settings
    clock = clock_of(flags, writes=mode != "ro")  # It says if the time is not the time of day.
    return open_backend(settings.database, mode=mode, cloudflare=cloudflare_of(settings, clock))
