"""Exit codes: which exception becomes which, and what is said and what is not."""

import logging
from collections.abc import Iterator

import pytest

from clearlift_adapters.cli.exits import code_of, guarded
from clearlift_adapters.cli.options import Flags
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


def test_a_database_that_cannot_be_read_is_unreachable(program: Program) -> None:
    (program.folder / "clearlift.db").write_text("this is no database " * 100, encoding="utf-8")

    ended = program.run("queue", "depth")

    assert (ended.code, ended.out) == (5, "")
    assert "file is not a database" in ended.said[0]


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
