"""Exit codes: which exception becomes which, and what is said and what is not."""

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clearlift_adapters.cli.exits import code_of, guarded
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.operation import SqliteJournal
from clearlift_engine.errors import (
    ConfigurationError,
    IllegalTransitionError,
    UnavailableError,
)
from tests.cli.program import Program


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Take away what the log adds to the standard library's."""
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers = before


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (ConfigurationError("set it"), 4),
        (UnavailableError("away"), 5),
        (IllegalTransitionError("due", "job_enqueued"), 1),
        (ValueError("what"), 1),
        (ExceptionGroup("tasks", [UnavailableError("away"), UnavailableError("away")]), 5),
        (ExceptionGroup("tasks", [UnavailableError("away"), ConfigurationError("set it")]), 5),
        (ExceptionGroup("tasks", [ExceptionGroup("in", [ConfigurationError("set it")])]), 4),
        (ExceptionGroup("tasks", [UnavailableError("away"), ValueError("what")]), 1),
    ],
)
def test_each_exception_has_its_code(exc: Exception, code: int) -> None:
    assert code_of(exc) == code


def test_an_unexpected_error_is_one_line_and_its_traceback_is_for_vv(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        raise ValueError("refresh_token=geheim\nand more")

    quiet, loud = Flags({}), Flags({})
    loud.verbosity = 2

    codes = guarded(work, quiet), guarded(work, loud)

    first, second = capsys.readouterr().err.splitlines()
    assert codes == (1, 1)
    assert "unexpected ValueError: refresh_token=[hidden] and more (-vv shows where)" in first
    assert "Traceback" not in first
    assert "Traceback" in second
    assert "geheim" not in first + second


def test_an_interrupted_command_ends_as_a_shell_expects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    code = guarded(work, Flags({}))

    assert code == 130
    assert "nothing is half-done" in capsys.readouterr().err


def test_a_database_that_is_not_there_is_a_matter_of_configuration(program: Program) -> None:
    ended = program.run("queue", "depth", "--database", "sqlite:///absent.db")

    assert (ended.code, ended.out) == (4, "")
    assert "create it with `clearlift-cron migrate`" in ended.said[0]


@pytest.mark.parametrize(
    ("path", "said", "step"),
    [
        ("text.db", "file is not a database", "correct --database"),
        ("text.db/under.db", "Not a directory", "correct --database"),
        ("folder", "Is a directory", "name a file in it"),
        ("no/such.db", "No such file or directory", "make the directory first"),
    ],
)
def test_what_no_retry_mends_is_a_matter_of_configuration(
    program: Program, path: str, said: str, step: str
) -> None:
    (program.folder / "text.db").write_text("this is no database " * 100, encoding="utf-8")
    (program.folder / "folder").mkdir()

    ended = program.run("migrate", "--database", f"sqlite:///{path}")

    assert (ended.code, ended.out) == (4, "")
    assert said in ended.said[-1]
    assert step in ended.said[-1]


def test_a_database_that_is_locked_is_unreachable(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "c.db")

    async def write_beside_another() -> None:
        async with SqliteDatabase.open(tmp_path / "c.db", "rw", busy_ms=1) as db:
            await SqliteJournal(db).begin("run", "tick", now_ms=0)

    with closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError) as caught:
            asyncio.run(write_beside_another())

    assert code_of(caught.value) == 5


def test_a_database_that_may_not_be_written_is_a_matter_of_configuration(
    tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "c.db")

    async def write() -> None:
        async with SqliteDatabase.open(tmp_path / "c.db", "ro") as db:
            await SqliteJournal(db).begin("run", "tick", now_ms=0)

    # Unavailable it is too: tokens that it cannot take are to be kept elsewhere.
    with pytest.raises(UnavailableError, match="writable for this user") as caught:
        asyncio.run(write())

    assert code_of(caught.value) == 4


def test_a_database_without_our_tables_is_a_matter_of_migrating_it(program: Program) -> None:
    (program.folder / "empty.db").touch()

    ended = program.run("tick", "--database", "sqlite:///empty.db")

    assert ended.code == 4
    assert "run `clearlift-cron migrate`" in ended.said[-1]


def test_a_wrong_setting_is_said_in_one_line(program: Program) -> None:
    ended = program.run("tick", CLEARLIFT_BATCH_SIZE="many")

    assert ended.code == 4
    assert ended.said == [
        "CLEARLIFT_BATCH_SIZE is 'many': it must be a whole number from 1 to 10000"
    ]
