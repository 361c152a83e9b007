"""Runs the program as a process, on a database made for it, and says what it took.

Nothing is timed inside the process that is measured, but where a row says so: what a process costs
is what its operator waits and pays for, start included.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from clearlift_adapters.stores.library import sqlite3

NOW: Final = "2026-10-10T12:00:00Z"
ORGANIZATIONS: Final = 100
CRON: Final = (sys.executable, "-m", "clearlift_adapters.cli")

Report = Mapping[str, Any]


class Spent(NamedTuple):
    """What one process took, and what it printed."""

    wall_s: float
    cpu_s: float
    peak_kib: int
    output: str

    @property
    def report(self) -> Report:
        """Return what it printed, a JSON object."""
        report: Report = json.loads(self.output)
        return report


def spend(*command: str, env: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end; it has to succeed."""
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment(), **(env or {})},
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode()
        # Of this very process: what getrusage says of children is the largest of them all.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    assert process.returncode == 0, f"{command}: exit code {process.returncode}"
    return Spent(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss, output)


def cron(file: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Spent:
    """Run the program on a database file."""
    return spend(*CRON, "--database", f"sqlite:///{file}", *arguments, env=env)


def python(*arguments: str) -> Spent:
    """Run Python."""
    return spend(sys.executable, *arguments)


def environment() -> dict[str, str]:
    """Return an environment in which the moment is always the same, and modules stay compiled."""
    env = {**os.environ, "CLEARLIFT_NOW": NOW}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def median_of(rounds: int, measured: Callable[[], float]) -> float:
    """Return the median of so many measurements."""
    return statistics.median(measured() for _ in range(rounds))


def interleaved(rounds: int, *measured: Callable[[], float]) -> list[list[float]]:
    """Return what each gave, round by round: in each round one runs right after the other."""
    turns = [[each() for each in measured] for _ in range(rounds)]
    return [list(column) for column in zip(*turns, strict=True)]


def ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over the rounds of ours ÷ theirs."""
    return statistics.median(mine / theirs for mine, theirs in zip(ours, others, strict=True))


def copied(empty: Path, to: Path) -> Path:
    """Copy a database over another one; return where it is now."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{to}{suffix}").unlink(missing_ok=True)
    return Path(shutil.copy(empty, to))


def migrated(file: Path) -> Path:
    """Make an empty database; return where it is."""
    cron(file, "migrate")
    return file


def filled(file: Path, size: int) -> Path:
    """Make a database with `size` connections that are due and need no refresh."""
    db = sqlite3.connect(migrated(file))
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
    return file
