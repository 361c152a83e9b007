"""The bench itself: on a few rows, so that it does not rot, and on figures that decide."""

from pathlib import Path

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import searching, writing
from tests.benchmarks.reach import Direction, Figure, Row


def nothing(_folder: Path, _rounds: int) -> Figure:
    raise AssertionError


ROWS: dict[Direction, Row] = {
    "at least": Row("a", "a figure", "at least", 2.0, 4.0, nothing, "something"),
    "at most": Row("a", "a figure", "at most", 4.0, 2.0, nothing, "something"),
}


@pytest.mark.parametrize(
    ("direction", "value", "verdict"),
    [
        ("at least", 4.0, "met"),
        ("at least", 3.9, "short of the aim"),
        ("at least", 1.9, "MISSED"),
        ("at most", 2.0, "met"),
        ("at most", 2.1, "short of the aim"),
        ("at most", 4.1, "MISSED"),
    ],
)
def test_figure_is_judged_by_its_direction(
    direction: Direction, value: float, verdict: str
) -> None:
    assert ROWS[direction].verdict(Figure(value)) == verdict


def test_figure_on_processor_time_may_save_one_on_wall_time() -> None:
    assert ROWS["at least"].verdict(Figure(1.0, cpu=5.0)) == "met"


def test_missed_row_makes_the_exit_code_1_and_says_what_limits_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(_folder: Path, _rounds: int) -> Figure:
        return Figure(1.0)

    monkeypatch.setattr(bench, "ROWS", [ROWS["at least"]._replace(measure=one)])

    code = bench.main([])

    assert code == 1
    assert "limited by: something" in capsys.readouterr().out


def test_worker_and_floor_write_the_same_hundred_jobs(tmp_path: Path) -> None:
    found = writing.beside(tmp_path, 1, 100)

    assert found.worker[0].report["delivered"] == 100
    assert found.floor_s[0] > 0


def test_crowd_has_a_hundred_due_whatever_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "CONNECTIONS", (600, 1_200))

    assert searching.finding(tmp_path, 1).value > 0
