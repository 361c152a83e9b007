"""Statements that are taken to another tool: with their parameters in them they mean the same."""

import re
import sqlite3
import string
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_adapters.stores import questions
from clearlift_adapters.stores.library import sqlite3 as ours
from clearlift_adapters.stores.queries import bind, filled, literal
from clearlift_adapters.stores.questions import Question
from clearlift_engine.policy import DAY_MS, iso
from tests.given import DUE, NOW_MS, ODD_IDS, commit, created, failed, plain, take
from tests.world import World, sqlite_world

SPECIAL = re.compile(r'["$`\\!\n;]|--')  # To a shell, or to what splits statements.
ODD = ODD_IDS[0]

ASKED = {
    "recent_jobs": questions.recent_jobs(2),
    "jobs_by_status": questions.jobs_by_status(NOW_MS),
    "failures": questions.failures(NOW_MS - DAY_MS, 0, 5),
    "runs": questions.runs(0, None, 9),
    "runs_of_one": questions.runs(0, "tick", 9),
    **{f"life of {name!r}": questions.life(name, 1, -1) for name in ODD_IDS},
}
each_question = pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)


@pytest.fixture
async def world(empty_database: Path, tmp_path: Path) -> AsyncIterator[World]:
    """Return a file in which every question has an answer, of odd rows too."""
    async with sqlite_world(empty_database, tmp_path) as world:
        for number, connection_id in enumerate(ODD_IDS):
            world.seed.add_connection(connection_id, account_name=f"{connection_id} Ltd")
            event = failed(retry_at=None) if number % 2 else created(connection_id, f"j{number}")
            await take(world.store, commit(connection_id, DUE, event))
            at = iso(NOW_MS) if number % 2 else plain(NOW_MS)
            world.seed.add_job(f"job {number}", connection_id, created_at=at, status=None)
        await world.journal.begin("r1", "tick", now_ms=NOW_MS)
        yield world


@pytest.fixture
def raw(tmp_path: Path) -> "Iterator[sqlite3.Connection]":
    with closing(ours.connect(tmp_path / "clearlift.db")) as raw:
        yield raw


@each_question
async def test_filled_statement_gives_the_same_rows_as_the_question(
    world: World, tmp_path: Path, raw: sqlite3.Connection, asked: Question
) -> None:
    del world  # It is in the file.

    rows = raw.execute(asked.text).fetchall()

    assert rows
    assert rows == raw.execute(asked.query.sql, asked.parameters).fetchall()
    assert not SPECIAL.search(asked.text)


@given(st.text() | st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary())
def test_literal_is_its_value_and_holds_nothing_that_a_shell_obeys(
    value: str | int | bytes | None,
) -> None:
    with closing(ours.connect(":memory:")) as raw:
        [(found,)] = raw.execute(f"SELECT {literal(value)}").fetchall()

    assert found == value
    assert not SPECIAL.search(literal(value))
    assert literal(value).isprintable()


def test_every_character_on_a_keyboard_comes_through() -> None:
    with closing(ours.connect(":memory:")) as raw:
        [(found,)] = raw.execute(f"SELECT {literal(string.printable)}").fetchall()

    assert found == string.printable


def test_parameter_that_looks_like_one_is_no_parameter() -> None:
    query = bind({"it": "SELECT :a,\n  :b"}, "it", "a", "b")

    assert filled(query, "?2", 7) == "SELECT '?2', 7"
