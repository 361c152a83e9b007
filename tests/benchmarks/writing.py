"""Rows about writing: `tick --relay` beside plain sqlite3, and how it grows."""

import json
import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

from clearlift_adapters.stores.library import sqlite3
from tests.benchmarks.measure import (
    CRON,
    Spent,
    copied,
    cron,
    environment,
    filled,
    migrated,
    python,
    ratio,
)
from tests.benchmarks.reach import Figure, Row

BATCH: Final = 500
MANY: Final = 100_000
_measured: dict[tuple[Path, int], "Beside"] = {}


class Beside:
    """What the worker and the floor took for the same rows, round by round."""

    def __init__(self) -> None:
        self.worker: list[Spent] = []
        self.worker_s: list[float] = []  # By its own report: without the start of the process,
        self.worker_cpu_s: list[float] = []  # and without what an idle tick takes.
        self.floor_s: list[float] = []
        self.floor_cpu_s: list[float] = []
        self.building_s: list[float] = []  # Floor B.
        self.bare_s: list[float] = []  # Floor C.


def beside(folder: Path, rounds: int, size: int) -> Beside:
    """Run worker and floor one after the other, in each round, on copies of one database."""
    if (folder, size) in _measured:
        return _measured[folder, size]
    empty, idle = filled(folder / f"{size}.db", size), migrated(folder / f"idle-{size}.db")
    found = _measured[folder, size] = Beside()
    for _ in range(rounds):
        written, copy = copied(empty, folder / "written.db"), copied(empty, folder / "floor.db")
        spent = cron(written, "tick", "--relay", "--json")
        report = spent.report
        assert report["jobs_created"] == report["delivered"] == size, report
        resting = cron(idle, "tick", "--relay", "--json")
        floor = python("-m", "tests.benchmarks.floor", str(written), str(copy), str(BATCH))
        wall_s, cpu_s = map(float, floor.output.split())
        found.worker.append(spent)
        found.worker_s.append(report["duration_ms"] / 1000)
        found.worker_cpu_s.append(spent.cpu_s - resting.cpu_s)
        found.floor_s.append(wall_s)
        found.floor_cpu_s.append(cpu_s)
        for which, taken_s in (("b", found.building_s), ("c", found.bare_s)):
            target = copied(empty, folder / "floor.db")
            output = python(
                "-m", "tests.benchmarks.floors", which, *map(str, (written, target, BATCH))
            )
            taken_s.append(float(output.output.split()[0]))
    return found


def against_floor(size: int) -> Row:
    """Return the row that compares the worker with the same writes by plain sqlite3."""

    def measure(folder: Path, rounds: int) -> Figure:
        found = beside(folder, rounds, size)
        per_s = size / statistics.median(found.worker_s)
        others = f"÷ Floor B {ratio(found.building_s, found.worker_s):.2f}, "
        others += f"÷ Floor C {ratio(found.bare_s, found.worker_s):.2f}"
        return Figure(
            ratio(found.floor_s, found.worker_s),
            ratio(found.floor_cpu_s, found.worker_cpu_s),
            f"{per_s:,.0f} jobs a second, created and delivered; {others}",
        )

    return Row(
        f"floor-{size}",
        f"tick + relay ÷ Floor A at {size:,} due",
        "at least",
        0.6,
        0.8,
        measure,
        "the floor neither reads, decides, encodes nor hashes, and knows beforehand that no guard "
        "will refuse",
    )


def per_connection(folder: Path, rounds: int) -> Figure:
    """Return what a connection costs among very many, ÷ among a thousand."""
    many, few = beside(folder, rounds, MANY), beside(folder, rounds, 1_000)
    wall = ratio(many.worker_s, few.worker_s) * 1_000 / MANY
    return Figure(wall, ratio(many.worker_cpu_s, few.worker_cpu_s) * 1_000 / MANY)


def memory(folder: Path, rounds: int) -> Figure:
    """Return the peak memory among very many, ÷ among a thousand."""
    many, few = beside(folder, rounds, MANY), beside(folder, rounds, 1_000)
    peak, low = (max(each.peak_kib for each in found.worker) for found in (many, few))
    return Figure(peak / low, said=f"{peak / 1024:.1f} MiB and {low / 1024:.1f} MiB")


def peak_mb(folder: Path, rounds: int) -> Figure:
    """Return the peak memory among very many, in MB."""
    peak_kib = max(each.peak_kib for each in beside(folder, rounds, MANY).worker)
    return Figure(peak_kib * 1024 / 1e6)


def longest_transaction(folder: Path, rounds: int) -> Figure:
    """Return for how many ms another writer has to wait at the most, the best of the rounds.

    The other writer asks every half millisecond; what the machine does meanwhile counts too, so the
    median of the rounds is taken.
    """
    empty = filled(folder / "transactions.db", MANY)
    waits: list[float] = []
    for _ in range(rounds):
        file = copied(empty, folder / "written.db")
        command = [*CRON, "--database", f"sqlite:///{file}", "tick", "--json"]
        with Popen(command, stdout=PIPE, env=environment()) as process:
            waits.append(_longest_wait(file, process) * 1000)
            assert process.stdout is not None
            report: Mapping[str, int] = json.loads(process.stdout.read())
        assert report["jobs_created"] == MANY
    return Figure(statistics.median(waits))


def _longest_wait(file: Path, process: "Popen[bytes]") -> float:
    db = sqlite3.connect(file, isolation_level=None, timeout=0)
    longest, free_at = 0.0, time.perf_counter()
    while process.poll() is None:
        with suppress(sqlite3.OperationalError):
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
            longest = max(longest, time.perf_counter() - free_at)
            time.sleep(0.0005)
            free_at = time.perf_counter()
        time.sleep(0.0005)
    db.close()
    return longest


ROWS: Final = (
    against_floor(10_000),
    against_floor(MANY),
    Row(
        "per-connection",
        "a connection at 100,000 due ÷ at 1,000",
        "at most",
        2,
        1.3,
        per_connection,
    ),
    Row("memory", "peak memory at 100,000 due ÷ at 1,000", "at most", 1.15, 1.05, memory),
    Row("memory-mb", "peak memory at 100,000 due, MB", "at most", 60, 60, peak_mb),
    Row(
        "transaction",
        "longest write transaction at 100,000 due, ms",
        "at most",
        150,
        50,
        longest_transaction,
    ),
)
