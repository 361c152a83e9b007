"""EXPLAIN of every query, and what the hot ones cost when tables grow.

The planner is asked without ANALYZE, as on a database that nobody tends. A plan says which index is
used but not how many rows are read through it, so the two queries that everything rests on are also
counted in steps of SQLite's virtual machine: no clock is involved, and the numbers repeat.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import clearlift_adapters.stores as adapters
from clearlift_adapters.stores.d1 import writing
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.queries import bind, load
from tests.given import DUE, NOW_MS, SCHEDULE, commit, job_commit, take
from tests.seed import Seed, SqliteTables
from tests.sqlite.counted import Counted, fill
from tests.sqlite.foreign import copy_of
from tests.sqlite.plans import EXPECTED

if TYPE_CHECKING:
    from sqlite3 import Connection

QUERIES = {
    (path.name, name): sql
    for path in sorted(Path(adapters.__file__).parent.glob("*.sql"))
    for name, sql in load(path.name).items()
}
HOT = {"platform_connections", "sync_jobs", "outbox", "connection_state"}
HOT_FILES = {"store.sql", "operation.sql", "connections.sql"}
# What is scanned is no table: a result of this very query, rows of constants, a list passed in.
OF_THE_QUERY_ITSELF = re.compile(r"\(subquery-|CONSTANT ROW|r$|\w+ VIRTUAL TABLE")
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")

Bound = tuple[str, Sequence[str | None]]  # A statement, and what is bound to it.
Form = Callable[[str], Bound]

each_query = pytest.mark.parametrize(
    ("file", "name"), QUERIES, ids=[f"{file}:{name}" for file, name in QUERIES]
)


@pytest.fixture(scope="module")
def db(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Connection"]:
    file = tmp_path_factory.mktemp("plans") / "clearlift.db"
    with closing(copy_of(empty_database, file)) as raw:
        fill(raw, connections=2_000)
        yield raw


def parameters_of(sql: str) -> list[str]:
    return sorted(set(PARAMETER.findall(sql)))


def as_on_sqlite(sql: str) -> Bound:
    names = parameters_of(sql)
    return bind({"it": sql}, "it", *names).sql, [None for _ in names]


def as_on_d1(sql: str) -> Bound:
    """Return the statement over a list of rows that D1 gets in the place of many statements."""
    names = parameters_of(sql)
    [statement] = writing(bind({"it": sql}, "it", *names), [[None for _ in names]])
    return statement.sql, statement.params


each_form = pytest.mark.parametrize("form", [as_on_sqlite, as_on_d1])


def plan_of(raw: "Connection", statement: Bound) -> list[str]:
    sql, parameters = statement
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def scans_in(plan: list[str]) -> set[str]:
    # A Bloom filter is made by reading all of the table that it is on.
    lines = [line.replace("BLOOM FILTER ON ", "SCAN ") for line in plan]
    scanned = {line.removeprefix("SCAN ") for line in lines if line.startswith("SCAN ")}
    return {what for what in scanned if not OF_THE_QUERY_ITSELF.match(what)}


def test_every_query_has_an_expectation_and_every_expectation_a_query() -> None:
    expected = {(file, name) for file, names in EXPECTED.items() for name in names}

    assert expected == set(QUERIES)


@each_form
@each_query
def test_query_uses_the_indexes_that_are_expected_of_it(
    db: "Connection", file: str, name: str, form: Form
) -> None:
    plan = plan_of(db, form(QUERIES[file, name]))

    missing = [use for use in EXPECTED[file][name].uses if use not in "\n".join(plan)]
    assert not missing, plan


@each_form
@each_query
def test_query_scans_nothing_without_a_reason(
    db: "Connection", file: str, name: str, form: Form
) -> None:
    plan = plan_of(db, form(QUERIES[file, name]))

    scans = EXPECTED[file][name].scans
    assert scans_in(plan) == set(scans)
    assert all(scans.values())


def test_every_index_of_ours_is_used_by_a_query(db: "Connection") -> None:
    plans = [plan_of(db, as_on_sqlite(sql)) for sql in QUERIES.values()]
    used = "\n".join(line for plan in plans for line in plan)
    made = db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")

    assert [name for (name,) in made if name not in used] == []


def test_no_query_of_the_hot_path_scans_a_table_that_grows() -> None:
    scanned = {
        what.split(" USING ")[0]
        for file in HOT_FILES
        for expected in EXPECTED[file].values()
        for what in expected.scans
        if " USING INDEX " not in what
    }

    assert not scanned & HOT


def test_due_uses_the_same_indexes_once_somebody_has_analyzed(
    tmp_path: Path, db: "Connection"
) -> None:
    file = tmp_path / "analyzed.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        db.backup(copy)
        copy.execute("ANALYZE")

        plan = plan_of(copy, as_on_sqlite(QUERIES["store.sql", "due"]))

    assert not [use for use in EXPECTED["store.sql"]["due"].uses if use not in "\n".join(plan)]


async def cost_of_due(empty: Path, file: Path, *, others: int) -> int:
    """Return what it costs to find ten due connections among `others` that are not."""
    with closing(copy_of(empty, file)) as raw:
        fill(raw, connections=others)
        for number in range(10):
            Seed(SqliteTables(raw)).add_connection(
                f"due {number}", organization_id=f"org {number}", last_synced_at=None
            )
    async with Counted(file) as counted:
        plan = await counted.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=1_000)
    assert len(plan.ready) == 10
    return counted.hundreds


async def cost_of_append(empty: Path, file: Path, *, others: int) -> int:
    """Return what it costs to append one job's commit to a log that holds `others`."""
    with closing(copy_of(empty, file)) as raw:
        fill(raw, connections=others)
    async with Counted(file) as counted:
        await take(counted.store, *(commit(f"c{n}", DUE) for n in range(1, others)))
        counted.hundreds = 0
        await take(counted.store, job_commit("c0"))
    return counted.hundreds


async def test_finding_what_is_due_costs_the_same_in_a_table_ten_times_as_long(
    empty_database: Path, tmp_path: Path
) -> None:
    short = await cost_of_due(empty_database, tmp_path / "short.db", others=200)

    long = await cost_of_due(empty_database, tmp_path / "long.db", others=2_000)

    assert short <= long <= short + 1


async def test_appending_costs_the_same_to_a_log_ten_times_as_long(
    empty_database: Path, tmp_path: Path
) -> None:
    short = await cost_of_append(empty_database, tmp_path / "short.db", others=200)

    long = await cost_of_append(empty_database, tmp_path / "long.db", others=2_000)

    assert short <= long <= short + 1
