"""The row about replay: how near it comes to reading, hashing and decoding alone."""

from pathlib import Path
from typing import Final

from tests.benchmarks.measure import Spent, cron, filled, interleaved, python, ratio
from tests.benchmarks.reach import Figure, Row

JOBS: Final = 50_000


def replaying(folder: Path, rounds: int) -> Figure:
    """Return reading, hashing and decoding alone ÷ replay, which folds and compares as well."""
    file = filled(folder / "replay.db", JOBS)
    cron(file, "tick", "--relay")
    spent: dict[str, list[Spent]] = {"replay": [], "reading": []}

    def replay() -> float:
        done = cron(file, "replay", "--json")
        assert not done.report["violations"]
        spent["replay"].append(done)
        return done.wall_s

    def reading() -> float:
        done = python("-m", "tests.benchmarks.reading", str(file))
        spent["reading"].append(done)
        return done.wall_s

    replays, readings = interleaved(rounds, replay, reading)
    events = int(spent["reading"][0].output)
    assert spent["replay"][0].report["events"] == events
    return Figure(
        ratio(readings, replays),
        ratio(*([each.cpu_s for each in spent[name]] for name in ("reading", "replay"))),
        f"{events / min(replays):,.0f} events a second",
    )


ROWS: Final = (
    Row(
        "replay",
        "replay ÷ (reading rows + SHA-256 + JSON)",
        "at least",
        0.5,
        0.8,
        replaying,
        "each event becomes a typed object, is folded, and its stream is compared with four tables",
    ),
)
