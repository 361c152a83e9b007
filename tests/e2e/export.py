"""A day's beginning on the API worker's own database: everything done once, and what came of it.

tests/fixtures/api-worker-export.sql is a dump that another program made, its tokens encrypted by
WebCrypto under the bytes 0…31: `at-<id>` and `rt-<id>`. What is due in it is worked out here from
the raw rows, by other means than the worker's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.e2e.authority import Authority
from tests.e2e.program import Done, Program
from tests.seed import Row

DUMP: Final = Path(__file__).parents[1] / "fixtures" / "api-worker-export.sql"
NOW: Final = datetime(2026, 10, 10, 12, tzinfo=UTC)
# From a folder and what the token endpoints ask for.
NewProgram = Callable[[Path, Mapping[str, str]], Program]
SHARED: Final = ("connector_configs", "onboarding_progress", "organizations", "sync_jobs")


@dataclass(frozen=True)
class Day:
    """What was there, what was run, and what is there now."""

    program: Program
    authority: Authority
    before: Mapping[str, Row]  # Connections, by their id.
    unchanged: bool  # By `migrate`.
    ticks: Sequence[Done]
    relays: Sequence[Done]
    queue: Done
    replay: Done
    messages: Sequence[Row]  # As `queue list --json` has them.

    @property
    def due(self) -> Mapping[str, Row]:
        return {id_: row for id_, row in self.before.items() if is_due(row)}

    @property
    def expiring(self) -> Mapping[str, Row]:
        """Return those that are due and whose token has to be replaced first."""
        return {id_: row for id_, row in self.due.items() if expires(row)}


def run_day(folder: Path, new_program: NewProgram) -> Day:
    """Load the dump and run every command on it, each one twice that must do nothing then."""
    return asyncio.run(_run_day(folder, new_program))


async def _run_day(folder: Path, new_program: NewProgram) -> Day:
    authority = Authority()
    async with authority.serving():
        program = new_program(folder, authority.environment)
        program.load(DUMP.read_text(encoding="utf-8"))
        before = everything(program)
        await program.done("migrate")
        unchanged = everything(program) == before
        ticks = [await program.done("tick", "--json") for _ in range(2)]
        relays = [await program.done("relay", "--drain", "--json") for _ in range(2)]
        queue, messages = await program.messages()
        return Day(
            program=program,
            authority=authority,
            before={row["id"]: row for row in before["platform_connections"]},
            unchanged=unchanged,
            ticks=ticks,
            relays=relays,
            queue=queue,
            replay=await program.done("replay", "--json"),
            messages=messages,
        )


def everything(program: Program) -> Mapping[str, Sequence[Row]]:
    """Return the shared tables as they stand."""
    return {table: program.rows(table) for table in ("platform_connections", *SHARED)}


def moment(text: str) -> datetime:
    """Return a time of either format that a DATETIME column holds."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def is_due(row: Row) -> bool:
    synced = row["last_synced_at"]
    overdue = synced is None or moment(synced) < NOW - timedelta(hours=1)
    return bool(row["is_active"]) and row["sync_status"] != "syncing" and overdue


def expires(row: Row) -> bool:
    ends = row["expires_at"]
    soon = ends is not None and moment(ends) < NOW + timedelta(minutes=5)
    return soon and row["platform"] != "stripe"
