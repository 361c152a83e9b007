"""`pause`, `resume` and `retry` as processes: from the command line to the log."""

import socket

import msgspec
import pytest

from tests.cli.program import Program


@pytest.fixture
def program(program: Program) -> Program:
    """Return a program whose database holds one connection that is due."""
    program.seed.add_connection("a")
    return program


def test_pause_keeps_a_connection_from_its_tick_until_it_is_resumed(program: Program) -> None:
    paused = program.run("pause", "a", "--reason", "no budget", "--json")
    idle = program.run("tick", "--json")
    program.run("resume", "a", "--reason", "paid")

    served = program.run("tick", "--json")

    assert (paused.code, paused.json["outcome"], paused.json["state"]) == (0, "recorded", "due")
    assert (idle.json["due"], served.json["jobs_created"]) == (0, 1)
    assert program.run("replay", "--json").json["violations"] == []


def test_log_keeps_who_and_why(program: Program) -> None:
    program.run("pause", "a", "--reason", "no budget")
    program.run("resume", "a", "--reason", "paid", "--by", "ann")

    first, second = (msgspec.json.decode(row["data"]) for row in program.rows("outbox"))

    assert (first["reason"], second["reason"], second["by"]) == ("no budget", "paid", "ann")
    assert first["by"].endswith(f"@{socket.gethostname()}")
    assert [row["command"] for row in program.rows("runs")] == ["pause", "resume"]


def test_retry_with_nothing_to_retry_is_code_7_and_says_why(program: Program) -> None:
    program.run("tick")

    ended = program.run("retry", "a")

    assert (ended.code, len(program.rows("outbox"))) == (7, 2)
    assert ended.out == "a: nothing to retry: its job waits for the relay\n"


@pytest.mark.parametrize(
    "arguments",
    [("pause", "a"), ("pause", "a", "--reason", " "), ("resume", "b", "--reason", "why")],
    ids=["no reason", "an empty reason", "no such connection"],
)
def test_wrong_usage_is_code_2_and_writes_no_event(
    program: Program, arguments: tuple[str, ...]
) -> None:
    ended = program.run(*arguments)

    assert (ended.code, program.rows("outbox")) == (2, [])
