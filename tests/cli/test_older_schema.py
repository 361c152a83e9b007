"""A database that an older version has set up: whoever would write says so, and changes nothing."""

from collections.abc import Mapping, Sequence
from contextlib import closing

import pytest

from clearlift_adapters.stores.library import sqlite3
from tests.cli.program import KEY, Program
from tests.seed import Row

WRITING: Sequence[Sequence[str]] = (
    ("tick",),
    ("relay", "--drain"),
    ("pause", "a", "--reason", "why"),
    ("resume", "a", "--reason", "why"),
    ("retry", "a"),
    ("keys", "rotate"),
    ("connections", "set", "a", "--interval", "7200"),
    ("queue", "pull"),
    ("replay", "--rebuild"),
)


@pytest.fixture
def program(program: Program) -> Program:
    """Return a program over tables that lack what the last migrations add; one job waits."""
    program.seed.add_connection("a")
    program.run("tick")
    with closing(sqlite3.connect(program.folder / "clearlift.db", isolation_level=None)) as raw:
        raw.execute("ALTER TABLE runs DROP COLUMN cpu_ms")
        raw.execute("DELETE FROM d1_migrations WHERE name = '0013_run_cpu.sql'")
    return program


def content(program: Program) -> Mapping[str, Sequence[Row]]:
    tables = program.select("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {each["name"]: program.rows(each["name"]) for each in tables}


def test_whoever_writes_says_what_to_run_and_changes_nothing(program: Program) -> None:
    before = content(program)

    ended = [program.run(*arguments, ENCRYPTION_KEY=KEY) for arguments in WRITING]

    assert [(each.code, each.out) for each in ended] == [(4, "")] * len(WRITING)
    told = "first 0013_run_cpu.sql: run `clearlift-cron migrate`"
    assert [each.said[-1][-len(told) :] for each in ended] == [told] * len(WRITING)
    assert content(program) == before


def test_an_audit_of_it_is_not_recorded(program: Program) -> None:
    before = content(program)

    assert program.run("replay").code == 0
    assert content(program) == before


def test_what_a_newer_version_has_applied_is_fine(program: Program) -> None:
    program.run("migrate")
    with closing(sqlite3.connect(program.folder / "clearlift.db", isolation_level=None)) as raw:
        raw.execute("INSERT INTO d1_migrations (name) VALUES ('9999_of_tomorrow.sql')")

    assert program.run("tick").code == 0


def test_without_a_ledger_it_is_the_same(program: Program) -> None:
    with closing(sqlite3.connect(program.folder / "clearlift.db", isolation_level=None)) as raw:
        raw.execute("DROP TABLE d1_migrations")
    before = content(program)

    ended = program.run("tick")

    assert (ended.code, content(program)) == (4, before)
    assert ended.said[-1].endswith("run `clearlift-cron migrate`")
