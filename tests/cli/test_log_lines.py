"""What is said on stderr, as those see it who read it: people on a terminal, programs elsewhere."""

import io
import re
import signal
import subprocess
from typing import Any, Final

import msgspec
import pytest

from clearlift_adapters.cli.progress import DELAY_S, CountedArchive, Progress, progress
from clearlift_adapters.logs import Log
from clearlift_adapters.stores.memory import MemoryDatabase
from clearlift_adapters.stores.memory.archive import MemoryArchive
from tests.cli.program import Program
from tests.cli.terminal import on_terminal

COLOUR: Final = re.compile("\x1b\\[[0-9;]*m")
HIDE_CURSOR: Final = "\x1b[?25l"
SHOW_CURSOR: Final = "\x1b[?25h"


def lines(text: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in text.splitlines()]


def test_each_line_of_a_run_bears_its_id_and_whom_it_concerns(program: Program) -> None:
    program.seed.add_connection("odd", platform="pinterest", expires_at="2026-10-10T11:00:00Z")
    program.seed.add_connection("well", platform="stripe")

    ended = program.run("tick", "--relay", "-vv")

    [run] = program.rows("runs")
    about = [line for line in lines(ended.err) if "CLEARLIFT_NOW" not in line["event"]]
    assert {line["run_id"] for line in about} == {run["id"]}
    assert [(line["level"], line["event"], line.get("connection_id")) for line in about] == [
        ("debug", "job created", "well"),
        ("debug", "job delivered", "well"),
        ("warning", "connection failed", "odd"),
    ]


def test_what_ends_a_run_bears_its_id_too(program: Program) -> None:
    program.tamper("ALTER TABLE sync_jobs RENAME TO hidden_jobs")

    ended = program.run("tick")

    last = lines(ended.err)[-1]
    assert ended.code != 0
    assert (last["level"], last["run_id"]) == ("error", program.rows("runs")[0]["id"])


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
    ],
)
def test_a_terminal_is_coloured_unless_somebody_minds(
    program: Program, environment: dict[str, str], *, coloured: bool
) -> None:
    shown = on_terminal(program, "tick", environment=environment)

    assert "this is not the time of day" in shown.screen
    assert bool(COLOUR.search(shown.screen)) == coloured
    assert "{" not in shown.screen


def test_a_pipe_gets_json_without_colours_even_if_they_are_forced(program: Program) -> None:
    ended = program.run("tick", FORCE_COLOR="1")

    assert ended.said == ["CLEARLIFT_NOW is set: this is not the time of day"]
    assert "\x1b" not in ended.out + ended.err


def test_long_work_shows_on_a_terminal_how_far_it_is_and_cleans_up(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    program.run("tick")

    shown = on_terminal(program, "relay", until=" s  1 delivered", signals=signal.SIGTERM)

    assert shown.code == 0
    assert shown.screen.index(HIDE_CURSOR) < shown.screen.index(SHOW_CURSOR)
    assert shown.screen.rstrip().endswith("1 delivered, 0 already delivered, 0 pending")


def test_long_work_shows_nothing_in_a_pipe(program: Program) -> None:
    process = program.start("relay")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2 * DELAY_S)

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    assert out == "0 delivered, 0 already delivered, 0 pending\n"
    assert len(err.splitlines()) == 1


async def test_what_is_noted_is_counted_and_passed_on() -> None:
    stream = io.StringIO()
    with progress("tick", Log(stream, verbosity=2)) as shown:
        for connection_id in ("a", "b"):
            shown.note("debug", "job created", connection_id=connection_id)
        shown.note("warning", "connection failed", connection_id="c")

    assert str(shown) == "tick: 0 s  2 jobs created, 1 failed"
    assert [line["connection_id"] for line in lines(stream.getvalue())] == ["a", "b", "c"]


async def test_connections_that_are_read_are_counted() -> None:
    shown = Progress("replay", Log(io.StringIO()))
    archive = CountedArchive(MemoryArchive(MemoryDatabase()), shown)

    assert [history async for history in archive.histories()] == []
    assert await archive.positions() == (0, 0)
    assert str(shown) == "replay: 0 s"
