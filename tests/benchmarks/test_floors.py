"""The floors do the work that they are said to do."""

import sys
from pathlib import Path

import pytest

from clearlift_adapters.stores.library import sqlite3
from tests.benchmarks import handing
from tests.benchmarks.floors import FLOORS
from tests.benchmarks.measure import copied, cron, filled, python
from tests.benchmarks.plot import drawn
from tests.benchmarks.reach import NotHereError

LOG = "SELECT * FROM outbox ORDER BY position"
JOBS = "SELECT id, metadata FROM sync_jobs ORDER BY rowid"
MESSAGES = "SELECT job_id, body FROM queue_messages ORDER BY rowid"


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(file)
    found: list[tuple[object, ...]] = db.execute(query).fetchall()
    db.close()
    return found


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    empty = filled(tmp_path / "empty.db", 100)
    file = copied(empty, tmp_path / "written.db")
    cron(file, "tick", "--relay")
    floors = {which: copied(empty, tmp_path / f"{which}.db") for which in FLOORS}
    for which, floor in floors.items():
        python("-m", "tests.benchmarks.floors", which, str(file), str(floor), "40")
    return file, floors


def test_floors_write_what_the_worker_wrote(written: tuple[Path, dict[str, Path]]) -> None:
    file, floors = written

    for query in (LOG, JOBS, MESSAGES):
        assert rows(floors["b"], query) == rows(file, query)
    for table, count in (("bare_events", 300), ("bare_jobs", 100), ("bare_messages", 100)):
        assert rows(floors["c"], f"SELECT count(*) FROM {table}") == [(count,)]


def test_peer_that_is_not_installed_is_left_out_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handing, "their_python", lambda: sys.executable)

    with pytest.raises(NotHereError, match="No module named 'huey'"):
        handing.theirs("huey_sqlite", 1)


def test_plot_draws_each_curve_and_names_it_once() -> None:
    curves = {"ours": {100: 0.01, 1_000: 0.05}, "a < b": {100: 0.02, 1_000: 0.05}}

    picture = drawn(curves)

    assert picture.count("<polyline") == len(curves)
    assert picture.count(">a &lt; b</text>") == 1
