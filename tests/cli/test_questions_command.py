"""`jobs`, `failures`, `timeline`, `runs`: the questions of operators, and their statements."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import iso
from tests.cli.program import Program
from tests.given import ODD_IDS

ODD = ODD_IDS[0]


def test_runs_tell_how_long_what_it_cost_and_what_all_add_up_to(program: Program) -> None:
    program.seed.add_connection("a", platform="stripe")
    program.run("tick")
    program.run("relay", "--drain")

    *found, last = program.run("runs", "--json").lines
    shown = program.run("runs", "--command", "tick", "--since", "30m").out

    assert [(run["command"], run["outcome"]) for run in found] == [
        ("relay", "done"),
        ("tick", "done"),
    ]
    assert all(run["cpu_ms"] > 0 for run in found)
    assert last["total"]["cpu_ms"] == sum(run["cpu_ms"] for run in found)
    assert (found[1]["due"], found[1]["jobs_created"], found[0]["delivered"]) == (1, 1, 1)
    assert "relay" not in shown
    assert "1 run: 0 not done, 0 not ended; 0 connections failed; took " in shown


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Program]:
    """Return a program that made a job for one connection, and failed another twice; read it."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(empty_database, folder / "clearlift.db")
    with closing(sqlite3.connect(folder / "clearlift.db", isolation_level=None)) as raw:
        served = Program(folder, raw)
        odd = {"platform": "myspace", "expires_at": "soon", "account_name": "O'Hara"}
        served.seed.add_connection(ODD, **odd)
        served.seed.add_connection("a", platform="stripe", account_name="A Ltd")
        before = "2026-10-10 11:59:59"
        served.seed.add_job("of others", "a", status="completed", created_at=before)
        for minute in (0, 30):
            served.run("tick", CLEARLIFT_NOW=f"2026-10-10T12:{minute:02}:00Z")
        yield served


def asked(program: Program, *arguments: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what a command prints as JSON, and the rows of the statement that it prints."""
    at = {"CLEARLIFT_NOW": "2026-10-10T12:40:00Z"}
    lines = program.run(*arguments, "--json", **at).lines
    [statement] = program.run(*arguments, "--sql", **at).out.splitlines()
    return lines, program.select(statement)


def test_jobs_and_their_statement_tell_the_newest_with_their_accounts(served: Program) -> None:
    lines, rows = asked(served, "jobs", "--recent", "9")

    assert [(job["platform"], job["account_name"], job["status"]) for job in lines] == [
        ("stripe", "A Ltd", "pending"),
        ("stripe", "A Ltd", "completed"),
    ]
    assert lines[1]["created_at"] == "2026-10-10T11:59:59.000Z"
    for line, row in zip(lines, rows, strict=True):
        assert line["created_at"] == iso(row["created_at"])
        assert line == {key: row[key] for key in line} | {"created_at": line["created_at"]}


def test_jobs_are_counted_by_status_in_a_period(served: Program) -> None:
    lines, rows = asked(served, "jobs", "--by-status", "--since", "40m")

    assert lines == rows == [{"status": "pending", "jobs": 1}]


def test_failures_and_their_statement_tell_who_why_and_what_to_do(served: Program) -> None:
    [line], [row] = asked(served, "failures", "--repeated", "1", "--since", "12h")
    shown = served.run("failures", "--repeated", "2").out

    assert (line["connection_id"], line["failures"], line["class"]) == (ODD, 2, "invalid")
    assert line["account_name"] == "O'Hara"
    assert line["advice"]["command"] == "clearlift-cron retry 'o'\"'\"'hara-google-1'"
    same = ("connection_id", "account_name", "failures", "class", "message", "state")
    assert [line[key] for key in same] == [row[key] for key in same]
    assert line["failed_at"] == iso(row["failed_at"])
    assert shown == "0 connections failed more than 2 times\n"


def test_timeline_and_its_statement_tell_the_same_life(served: Program) -> None:
    lines, rows = asked(served, "timeline", ODD)

    assert [line["transition"] for line in lines] == ["fell_due", "sync_failed"] * 2
    for line, row in zip(lines, rows, strict=True):
        assert line["occurred_at"] == iso(row["occurred_at"])
        same = ("connection_id", "position", "transition", "source", "target")
        assert [line[key] for key in same] == [row[key] for key in same]


def test_runs_and_their_statement_tell_the_same_runs(served: Program) -> None:
    [*lines, last], rows = asked(served, "runs", "--command", "tick", "--limit", "1")

    [line], [row] = lines, rows
    same = ("id", "command", "outcome", "duration_ms", "cpu_ms", "due", "failed")
    assert [line[key] for key in same] == [row[key] for key in same]
    assert (last["total"]["runs"], last["total"]["cpu_ms"]) == (row["all_runs"], row["all_cpu_ms"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "--since", "3h"),
        ("jobs", "--by-status", "--recent", "3"),
        ("jobs", "--by-status", "--since", "soon"),
        ("failures", "--since", "0h"),
        ("timeline", "nobody"),
        ("timeline", "\udcff"),
    ],
)
def test_wrong_usage_is_refused(program: Program, arguments: tuple[str, ...]) -> None:
    assert program.run(*arguments).code == 2
