"""`migrate`: create or upgrade our tables, and on an empty database the shared ones."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from clearlift_adapters.backend import sqlite_path
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.cli.world import clock_of
from clearlift_adapters.migrations import migrate, migration_names, pending
from clearlift_adapters.stores.database import SqliteDatabase


class MigrateReport(msgspec.Struct, frozen=True):
    """What `migrate --json` prints."""

    applied: Sequence[str]
    pending: Sequence[str]


@click.command("migrate", cls=Command)
@click.option("--dry-run", is_flag=True, help="Change nothing; name what would be applied.")
@click.pass_obj
def command(flags: Flags, *, dry_run: bool) -> None:
    """Create or upgrade the worker's tables.

    On an empty database the tables of the API worker are created too; on one that has them, none
    of their rows and columns is changed.
    """
    path = sqlite_path(flags.settings.database)
    if dry_run:
        names = asyncio.run(_lacking(path)) if path.exists() else migration_names()
        report = MigrateReport([], names)
    else:
        clock_of(flags, writes=True)  # It says if the time is not the time of day.
        report = MigrateReport(asyncio.run(_apply(path)), [])
    if flags.json:
        print_json(report)
        return
    for name in report.applied:
        print_line(f"applied {name}")
    for name in report.pending:
        print_line(f"would apply {name}")
    if not report.applied and not report.pending:
        print_line("nothing to apply")


async def _lacking(path: Path) -> Sequence[str]:
    async with SqliteDatabase.open(path, "ro") as db:
        return await pending(db)


async def _apply(path: Path) -> Sequence[str]:
    async with SqliteDatabase.open(path, "rwc") as db:
        return await migrate(db)
