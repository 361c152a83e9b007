"""`explain`, `timeline` and `jobs` over every odd row there is: see tests/e2e/odd_rows.py."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clearlift_adapters.cli.commands import run
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import iso
from tests.e2e.odd_rows import JOBS, ROWS, seed
from tests.given import NOW_MS
from tests.interop.webcrypto import KEY
from tests.seed import Seed, SqliteTables

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _odd(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the rows into a database, which is that of the environment, and no tick over it."""
    file = tmp_path / "clearlift.db"
    shutil.copy(empty_database, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        raw.execute("BEGIN")
        seed(Seed(SqliteTables(raw)))
        raw.execute("COMMIT")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)
    monkeypatch.setenv("CLEARLIFT_NOW", iso(NOW_MS))
    for name in ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "FACEBOOK_APP_ID"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("FACEBOOK_APP_SECRET", "x")


def printed(capsys: Captured, *arguments: str) -> str:
    """Return what a command prints that succeeds."""
    assert run(arguments) == 0
    return capsys.readouterr().out


def test_every_odd_row_is_explained_as_dry_run_plans_it(capsys: Captured) -> None:
    plan = msgspec.json.decode(printed(capsys, "tick", "--dry-run", "--json"), type=dict[str, Any])
    jobs = {job["connection_id"] for job in plan["jobs"]}
    blocked = {each["connection_id"]: each["why"] for each in plan["blocked"]}

    for row in ROWS:
        text = printed(capsys, "explain", "--json", "--", row.id)
        view = msgspec.json.decode(text, type=dict[str, Any])

        advice, why = view["advice"], blocked.get(row.id, "no reason")
        assert view["connection_id"] == row.id
        assert view["due"] == (row.fate != "not due")
        assert (advice["command"] == "clearlift-cron tick") == (row.id in jobs)
        assert why in view["why"] or why in advice["sentence"] or row.id not in blocked


def test_every_odd_row_is_printed_on_lines_that_no_terminal_obeys(capsys: Captured) -> None:
    for row in ROWS:
        shown = printed(capsys, "explain", "--", row.id) + printed(capsys, "timeline", "--", row.id)

        assert len(shown) < 5_000
        assert all(line.replace("\t", "").isprintable() for line in shown.splitlines())


def test_jobs_of_others_are_listed_whatever_they_hold(capsys: Captured) -> None:
    listed = printed(capsys, "jobs", "--json").splitlines()
    counted = printed(capsys, "jobs", "--by-status", "--since", "9d", "--json").splitlines()

    jobs = [msgspec.json.decode(line, type=dict[str, Any]) for line in listed]
    counts = [msgspec.json.decode(line, type=dict[str, Any]) for line in counted]
    assert {job["id"] for job in jobs} == {f"others' {name}" for name in JOBS}
    assert jobs[-1]["created_at"] is None
    assert {"status": "running", "jobs": 2} in counts
