"""Rows about a tick that has little to do: what cron pays every few minutes."""

from pathlib import Path
from typing import Final

from tests.benchmarks.measure import copied, cron, filled, interleaved, migrated, python, ratio
from tests.benchmarks.reach import Figure, Row

TURNS: Final = 4  # These are short: as many times the rounds.


def idle(folder: Path, rounds: int) -> Figure:
    """Return `tick` with nothing due ÷ `python -c pass`."""
    file = migrated(folder / "idle.db")
    cron(file, "tick")  # Modules are compiled.
    spent = [(cron(file, "tick"), python("-c", "pass")) for _ in range(rounds * TURNS)]
    ticks, passes = zip(*spent, strict=True)
    return Figure(
        ratio([each.wall_s for each in ticks], [each.wall_s for each in passes]),
        ratio([each.cpu_s for each in ticks], [each.cpu_s for each in passes]),
    )


def hundred(folder: Path, rounds: int) -> Figure:
    """Return how many ms more a tick takes for 100 due connections than for none, on the CPU."""
    none, some = migrated(folder / "none.db"), filled(folder / "hundred.db", 100)

    def busy() -> float:
        return cron(copied(some, folder / "some.db"), "tick").cpu_s * 1000

    busys, idles = interleaved(rounds * TURNS, busy, lambda: cron(none, "tick").cpu_s * 1000)
    differences = sorted(much - little for much, little in zip(busys, idles, strict=True))
    return Figure(differences[len(differences) // 2])


ROWS: Final = (
    Row(
        "idle",
        "tick with nothing due ÷ python -c pass",
        "at most",
        8,
        5,
        idle,
        "imports: asyncio, click and msgspec are most of it",
    ),
    Row("hundred", "100 due instead of none, ms of CPU time", "at most", 15, 5, hundred),
)
