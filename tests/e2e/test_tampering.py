"""Whatever is changed in the file, replay says so: see tests/e2e/tampering.py."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from clearlift_engine.audit import Violation
from clearlift_engine.machine import TRANSITIONS
from tests.e2e.authority import Authority
from tests.e2e.program import Program
from tests.e2e.tampering import Tampered, make_past, opened, other_values, tamper
from tests.seed import Value

LOG: Final = (
    *("connection_id", "version", "transition", "source", "target", "occurred_at", "run_id"),
    *("job_id", "data", "hash"),
)
STATE: Final = (
    *("connection_id", "state", "version", "hash", "changed_at", "job_id", "lease_until"),
    *("retry_at", "failures", "credentials", "in_doubt", "position"),
)
JOB: Final = (
    *("id", "organization_id", "connection_id", "status", "job_type", "created_at", "metadata"),
)
# All there is of one connection, and then new positions for what came after it.
VANISH: Final = (
    "DELETE FROM outbox WHERE connection_id = 'dead'",
    "DELETE FROM connection_state WHERE connection_id = 'dead'",
    "DELETE FROM platform_connections WHERE id = 'dead'",
)
CLOSE_RANKS: Final = (
    "CREATE TEMP TABLE rank (new INTEGER PRIMARY KEY, old INTEGER)",
    "INSERT INTO rank (old) SELECT position FROM outbox ORDER BY position",
    "UPDATE outbox SET position = -position",
    "UPDATE outbox SET position = (SELECT new FROM rank WHERE old = -outbox.position)",
    "UPDATE connection_state SET position = (SELECT new FROM rank WHERE old = position)",
    "UPDATE sqlite_sequence SET seq = (SELECT max(new) FROM rank) WHERE name = 'outbox'",
)
# What a wrong bit can do to the head of a row, and no statement to a STRICT table.
LOOSEN: Final = (
    "PRAGMA writable_schema = ON",
    (
        "UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql,"
        " ' STRICT,', ''), ' STRICT', ''), ' TEXT ', ' BLOB '), ' NOT NULL', '')"
        " WHERE name IN ('outbox', 'connection_state')"
    ),
    "PRAGMA writable_schema = RESET",
)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Program:
    return asyncio.run(_past(tmp_path_factory.mktemp("past"), empty_database))


async def _past(folder: Path, empty_database: Path) -> Program:
    authority = Authority()
    async with authority.serving():
        program = Program(folder, **authority.environment)
        shutil.copy(empty_database, program.file)
        await make_past(program, authority)
        return program


@pytest.fixture
async def database(past: Program, tmp_path: Path) -> AsyncIterator[Tampered]:
    async with opened(tamper(past.file, tmp_path)) as database:
        yield database


async def test_the_past_has_every_transition_and_nothing_amiss(database: Tampered) -> None:
    report = await database.replay()

    assert {row["transition"] for row in database.rows("outbox")} == set(TRANSITIONS)
    assert report.violations == []


@pytest.mark.parametrize("column", LOG)
async def test_one_changed_byte_of_a_row_of_the_log_is_named(
    database: Tampered, column: str
) -> None:
    for row in database.rows("outbox"):
        for value in other_values(row[column]):
            found = await database.with_cell("outbox", row, column, value)

            assert row["connection_id"] in connections(found)
            assert row["position"] in {violation.position for violation in found}


@pytest.mark.parametrize("column", ["version", "occurred_at", "run_id", "data"])
async def test_a_value_that_is_not_of_its_columns_type_is_named(
    past: Program, tmp_path: Path, column: str
) -> None:
    async with opened(tamper(past.file, tmp_path, *LOOSEN)) as database:
        for row in database.rows("outbox")[:8]:
            value = "x" if isinstance(row[column], int) else 7
            found = await database.with_cell("outbox", row, column, value)

            assert row["position"] in {violation.position for violation in found}


@pytest.mark.parametrize("value", [7, 0.5, None], ids=repr)
async def test_an_id_of_a_connection_that_is_no_text_is_named_and_nobody_else_is(
    past: Program, tmp_path: Path, value: Value
) -> None:
    async with opened(tamper(past.file, tmp_path, *LOOSEN)) as database:
        for row in database.rows("outbox"):
            found = await database.with_cell("outbox", row, "connection_id", value)

            assert row["position"] in {violation.position for violation in found}
            assert repr(value) in connections(found) <= {repr(value), row["connection_id"]}


@pytest.mark.parametrize(
    ("value", "name"), [("7", "7"), ("CAST(connection_id AS BLOB)", "b'dead'")]
)
async def test_the_program_names_an_id_that_is_no_text_and_ends_with_6(
    past: Program, tmp_path: Path, value: str, name: str
) -> None:
    one = "WHERE connection_id = 'dead' AND version = 2"
    file = tamper(past.file, tmp_path, *LOOSEN, f"UPDATE outbox SET connection_id = {value} {one}")
    database = f"sqlite:///{file}"

    told = await past.run("replay", CLEARLIFT_DATABASE=database)
    done = await past.run("replay", "--json", CLEARLIFT_DATABASE=database)

    assert (told.code, done.code) == (6, 6)
    assert {found["connection_id"] for found in done.report["violations"]} == {"dead", name}
    assert f"{name}\t" in told.out.decode()


async def test_a_projection_under_a_number_is_missed_and_named(
    past: Program, tmp_path: Path
) -> None:
    async with opened(tamper(past.file, tmp_path, *LOOSEN)) as database:
        for row in database.rows("connection_state"):
            found = await database.with_cell("connection_state", row, "connection_id", 7)

            assert {(violation.connection_id, violation.rule) for violation in found} == {
                ("7", "projection_has_events"),
                (row["connection_id"], "events_have_projection"),
            }


async def test_another_position_of_a_row_of_the_log_is_named(database: Tampered) -> None:
    for row in database.rows("outbox"):
        for value in other_values(row["position"]):
            found = await database.with_cell("outbox", row, "position", value)

            assert row["connection_id"] in connections(found)
            assert "gapless_positions" in {violation.rule for violation in found}


@pytest.mark.parametrize("column", STATE)
async def test_an_edited_projection_is_named(database: Tampered, column: str) -> None:
    for row in database.rows("connection_state"):
        for value in other_values(row[column]):
            found = await database.with_cell("connection_state", row, column, value)

            assert row["connection_id"] in connections(found)


@pytest.mark.parametrize("column", JOB)
async def test_an_edited_job_is_named(database: Tampered, column: str) -> None:
    for row in database.rows("sync_jobs"):
        for value in other_values(row[column]):
            found = await database.with_cell("sync_jobs", row, column, value)

            assert row["connection_id"] in connections(found)


async def test_what_the_consumer_writes_in_a_job_is_its_own_affair(database: Tampered) -> None:
    theirs = {
        "status": ("pending", "running", "completed", "failed"),
        "started_at": ("2026-10-10T12:00:00Z", "whenever"),
        "completed_at": (None, "2026-10-10 12:00:00"),
        "error_message": ("x" * 1000,),
        "records_synced": (None, 10**12),
    }
    closed = [row for row in database.rows("sync_jobs") if row["status"] == "completed"]

    for column, values in theirs.items():
        for value in values:
            found = await database.with_cell("sync_jobs", closed[0], column, value)

            # Reopened, it is one of two open jobs, and that is for somebody to look at.
            assert {violation.rule for violation in found} <= {"one_open_job"}


@pytest.mark.parametrize("table", ["outbox", "connection_state", "sync_jobs"])
async def test_a_deleted_row_is_named(database: Tampered, table: str) -> None:
    for row in database.rows(table):
        found = await database.without(table, row)

        assert row["connection_id"] in connections(found)


async def test_a_deleted_stream_is_seen_by_the_gap_it_leaves(past: Program, tmp_path: Path) -> None:
    file = tamper(past.file, tmp_path, *VANISH)

    done = await past.run("replay", "--json", CLEARLIFT_DATABASE=f"sqlite:///{file}")

    assert done.code == 6
    assert [violation["rule"] for violation in done.report["violations"]] == ["gapless_positions"]


async def test_a_stream_that_was_deleted_with_all_its_traces_is_seen_by_the_digest(
    past: Program, tmp_path: Path
) -> None:
    kept = await past.done("replay", "--json")
    file = tamper(past.file, tmp_path, *VANISH, *CLOSE_RANKS)

    done = await past.done("replay", "--json", CLEARLIFT_DATABASE=f"sqlite:///{file}")

    assert done.report["violations"] == []
    assert done.report["connections"] == kept.report["connections"] - 1
    assert done.report["digest"] != kept.report["digest"]


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE outbox SET data = data || ' ' WHERE connection_id = 'dead'", "hash_chain"),
        ("DELETE FROM outbox WHERE connection_id = 'dead' AND version = 2", "contiguous_versions"),
        ("UPDATE connection_state SET retry_at = 0 WHERE state = 'failed'", "projection_is_fold"),
        ("UPDATE sync_jobs SET job_type = 'none'", "job_row"),
        ("DELETE FROM sync_jobs", "job_row"),
    ],
)
async def test_the_program_names_what_it_finds_and_ends_with_6(
    past: Program, tmp_path: Path, statement: str, rule: str
) -> None:
    file = tamper(past.file, tmp_path, statement)

    done = await past.run("replay", "--json", CLEARLIFT_DATABASE=f"sqlite:///{file}")

    [first, *_] = [found for found in done.report["violations"] if found["rule"] == rule]
    assert done.code == 6
    assert first.keys() == {"connection_id", "position", "rule", "detail"}
    assert first["connection_id"] is not None
    assert first["position"] is not None


def connections(found: Sequence[Violation]) -> set[str | None]:
    return {violation.connection_id for violation in found}
