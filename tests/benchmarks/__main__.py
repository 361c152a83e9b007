"""`just bench`: how long tick and relay take, as a ratio to what SQLite itself takes for the rows.

Every figure is a ratio measured side by side: in each round the worker and the floor run one after
the other, as processes, on copies of the same database; the table shows medians.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from clearlift_adapters.stores.library import sqlite3

NOW: Final = "2026-10-10T12:00:00Z"
BATCH: Final = 500
ORGANIZATIONS: Final = 100
ROUNDS: Final = 5
CRON: Final = (sys.executable, "-m", "clearlift_adapters.cli")


class Spent(NamedTuple):
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_kib: int


def main(arguments: Sequence[str]) -> None:
    """Print the table; arguments are numbers of connections."""
    sizes = [int(argument) for argument in arguments] or [1_000, 10_000, 100_000]
    say(f"{'due':>8} {'per second':>11} {'÷ floor':>8} {'÷ floor, CPU':>13} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            worker, floor = rounds(Path(folder), size)
            wall = statistics.median(
                f.wall_s / w.wall_s for w, f in zip(worker, floor, strict=True)
            )
            cpu = statistics.median(f.cpu_s / w.cpu_s for w, f in zip(worker, floor, strict=True))
            speed = size / statistics.median(each.wall_s for each in worker)
            peak = max(each.peak_kib for each in worker) / 1024
            say(f"{size:>8,} {speed:>11,.0f} {wall:>8.2f} {cpu:>13.2f} {peak:>9.1f}")


def say(line: str) -> None:
    """Print a line at once: the next one may take a minute."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def rounds(folder: Path, size: int) -> tuple[list[Spent], list[Spent]]:
    """Return what the worker and the floor took, round by round."""
    empty = folder / f"{size}.db"
    fill(empty, size)
    worker: list[Spent] = []
    floor: list[Spent] = []
    for _ in range(ROUNDS):
        written, copy = folder / "written.db", folder / "floor.db"
        for file in (written, copy):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{file}{suffix}").unlink(missing_ok=True)
            shutil.copy(empty, file)
        worker.append(tick(written, size))
        output = run("-m", "tests.benchmarks.floor", str(written), str(copy), str(BATCH))
        wall, cpu = map(float, output.split())
        floor.append(Spent(wall, cpu, 0))
    return worker, floor


def tick(file: Path, size: int) -> Spent:
    """Run one `tick --relay`, and see that it did what it is measured by."""
    command = [*CRON, "--database", f"sqlite:///{file}", "tick", "--relay", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        # Of this very process: what getrusage says of children is the largest of them all.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert report["jobs_created"] == report["delivered"] == size, report
    cpu = used.ru_utime + used.ru_stime
    return Spent(report["duration_ms"] / 1000, cpu, used.ru_maxrss)


def fill(file: Path, size: int) -> None:
    """Make a database with `size` connections that are due and need no refresh."""
    cron(file, "migrate")
    db = sqlite3.connect(file)
    organizations = [(f"org-{number}",) for number in range(ORGANIZATIONS)]
    db.executemany("INSERT INTO organizations (id) VALUES (?)", organizations)
    db.executemany(
        "INSERT INTO platform_connections (id, organization_id, platform, account_id, connected_by,"
        " last_synced_at, credentials_encrypted, scopes)"
        " VALUES (?, ?, 'stripe', ?, 'u', ?, ?, '[]')",
        (
            (
                f"org-{number % ORGANIZATIONS}-stripe-{number}",
                f"org-{number % ORGANIZATIONS}",
                str(number),
                None if number % 3 else f"2026-10-10T0{number % 9}:00:00.000Z",
                "x" * 74,
            )
            for number in range(size)
        ),
    )
    db.commit()
    db.close()


def cron(file: Path, *arguments: str) -> str:
    """Run the program on a database file; return what it printed."""
    return run(*CRON[1:], "--database", f"sqlite:///{file}", *arguments)


def environment() -> dict[str, str]:
    """Return an environment in which the moment is always the same."""
    return {**os.environ, "CLEARLIFT_NOW": NOW}


def run(*arguments: str) -> str:
    """Run Python; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
