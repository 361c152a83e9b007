"""`migrate` on D1: once, twice, two at once, and cut short within every request.

CLEARLIFT_PROOF=full cuts each request short after each of CUTS; else after every other of them.
"""

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.backend import Cloudflare as Cloudflared
from clearlift_adapters.clock import FixedClock
from clearlift_adapters.migrations import migrate, migration_names
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.errors import UnavailableError
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.faults import FOREVER, Fault
from tests.workerd.program import CloudProgram
from tests.workerd.rest import Rest

REQUESTS = 3 + len(migration_names())  # The ledger, what is there already, and each file.
CUTS = (0, 1, 3, 8)  # After how many statements.
STEP = 1 if os.environ.get("CLEARLIFT_PROOF") == "full" else 2
LEDGER = "SELECT name FROM d1_migrations ORDER BY id"
SCHEMA = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"


@asynccontextmanager
async def opened(running: Cloudflare) -> AsyncGenerator[tuple[Backend, Rest]]:
    """Open a database with nothing in it."""
    stage = running.stage()
    access = Cloudflared(running.tokens.token, running.base_url, FixedClock())
    async with (
        open_backend(stage.database_url, cloudflare=access) as backend,
        Rest(running, stage) as rest,
    ):
        yield backend, rest


async def schema(rest: Rest) -> set[tuple[str, str, str]]:
    """Return what there is in D1, without white space and comments."""
    return _plain([tuple(row.values()) for row in await rest.sql(SCHEMA)])


def schema_of(file: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(file)) as db:
        return _plain(db.execute(SCHEMA).fetchall())


def _plain(rows: list[tuple[str, ...]]) -> set[tuple[str, str, str]]:
    return {
        (kind, name, re.sub(r"--[^\n]*|\s", "", sql))
        for kind, name, sql in rows
        if not name.startswith(("_cf_", "sqlite_"))
    }


async def ledger(rest: Rest) -> list[str]:
    return [row["name"] for row in await rest.sql(LEDGER)]


async def test_d1_gets_what_a_file_gets_and_nothing_the_second_time(
    workerd: Cloudflare, tmp_path: Path, empty_database: Path
) -> None:
    program = CloudProgram(tmp_path, workerd)
    async with Rest(workerd, program.stage) as rest:
        first = await program.done("migrate", "--json")

        again = await program.done("migrate", "--json")

        assert first.report == {"applied": migration_names(), "pending": []}
        assert again.report == {"applied": [], "pending": []}
        assert await ledger(rest) == migration_names()
        assert await schema(rest) == schema_of(empty_database)


async def test_dry_run_names_what_is_pending_and_makes_nothing(
    workerd: Cloudflare, tmp_path: Path
) -> None:
    program = CloudProgram(tmp_path, workerd)
    async with Rest(workerd, program.stage) as rest:
        before = await program.done("migrate", "--dry-run", "--json")
        made = await schema(rest)
        await program.done("migrate")

        after = await program.done("migrate", "--dry-run", "--json")

    assert before.report == {"applied": [], "pending": migration_names()}
    assert made == set()
    assert after.report == {"applied": [], "pending": []}


async def test_each_file_is_one_request(workerd: Cloudflare) -> None:
    async with opened(workerd) as (backend, _):
        await migrate(backend.db)

        assert len(workerd.requests()) == REQUESTS


async def test_two_at_once_apply_each_file_once(workerd: Cloudflare, tmp_path: Path) -> None:
    program = CloudProgram(tmp_path, workerd)
    async with Rest(workerd, program.stage) as rest:
        done = await asyncio.gather(*(program.done("migrate", "--json") for _ in range(2)))

        applied = [name for each in done for name in each.report["applied"]]
        assert sorted(applied) == migration_names()
        assert await ledger(rest) == migration_names()


@pytest.mark.parametrize("statements", CUTS)
async def test_file_that_was_cut_short_is_completed_by_the_next_run(
    workerd: Cloudflare, empty_database: Path, statements: int
) -> None:
    first = 1 + CUTS.index(statements) % STEP
    for place in range(first, REQUESTS + 1, STEP):
        async with opened(workerd) as (backend, rest):
            workerd.inject(faults.cut_short(statements).at("query", place, times=FOREVER))
            with pytest.raises(UnavailableError):
                await migrate(backend.db)
            workerd.inject()

            await migrate(backend.db)

            assert await ledger(rest) == migration_names()
            assert await schema(rest) == schema_of(empty_database)


@pytest.mark.parametrize("fault", [faults.reset(when="after"), faults.internal_error()])
async def test_lost_answer_is_made_good_in_the_same_run(
    workerd: Cloudflare, empty_database: Path, fault: Fault
) -> None:
    async with opened(workerd) as (backend, rest):
        workerd.inject(*(fault.at("query", nth) for nth in range(1, 2 * REQUESTS, 2)))

        await migrate(backend.db)

        workerd.inject()
        assert await ledger(rest) == migration_names()
        assert await schema(rest) == schema_of(empty_database)
