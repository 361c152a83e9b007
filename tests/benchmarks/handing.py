"""Rows about handing N durable jobs to a queue: `tick --relay` beside other people's task queues.

Each peer runs with a Python of its own, made once in the user's cache folder; see `peers`. Its
processor time is that of the process which hands over and of PostgreSQL's or Redis's that serves
it, without background writers; RabbitMQ's is not known. Ours is all but what an idle tick takes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.measure import copied, cron, environment, filled, migrated, ratio
from tests.benchmarks.reach import Figure, NotHereError, Row

PEERS: Final = Path(__file__).with_name("peers")
# Which peer, at how many jobs, and how many times as fast we have to be, and would like to be.
REACH: Final = (
    ("pgqueuer", 1_000, 0.9, 1.5),
    ("huey_sqlite", 1_000, 1, 5),  # One task a transaction: more of them take too long.
    ("huey_redis", 1_000, 1, 5),
    ("pgqueuer", 10_000, 0.4, 0.8),
    ("eventsourcing", 10_000, 1.5, 3),
    ("procrastinate", 10_000, 2, 5),
    ("dbos", 10_000, 2, 5),
    ("celery", 10_000, 5, 10),
)
NAMES: Final = tuple(dict.fromkeys(name for name, *_ in REACH))
ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 300


class Handed(NamedTuple):
    """What it took to hand all jobs over."""

    wall_s: float
    cpu_s: float


_measured: Final[dict[tuple[Path, int], Mapping[str, list[Handed]]]] = {}


def side_by_side(folder: Path, rounds: int, size: int) -> Mapping[str, list[Handed]]:
    """Return what we and each peer took, round by round; a peer that cannot run is left out."""
    if (folder, size) in _measured:
        return _measured[folder, size]
    empty, idle = filled(folder / f"handing-{size}.db", size), migrated(folder / "idle.db")
    names = [name for name, at, *_ in REACH if at == size]
    found: dict[str, list[Handed]] = {"clearlift": [], **{name: [] for name in names}}
    for _ in range(rounds):
        found["clearlift"].append(ours(copied(empty, folder / "written.db"), size, idle))
        for name in [name for name in names if name in found]:
            try:
                found[name].append(theirs(name, size))
            except NotHereError as exc:
                say(f"    {name} is left out: {exc}")
                del found[name]
    _measured[folder, size] = found
    return found


def ours(file: Path, size: int, idle: Path) -> Handed:
    """Run `tick --relay`: from finding what is due until each message is in the queue."""
    spent = cron(file, "tick", "--relay", "--json")
    report = spent.report
    assert report["jobs_created"] == report["delivered"] == size, report
    resting = cron(idle, "tick", "--relay", "--json")
    return Handed(report["duration_ms"] / 1000, spent.cpu_s - resting.cpu_s)


def theirs(name: str, size: int) -> Handed:
    """Run one peer.

    Raises:
        NotHereError: it is not installed, or its server is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [their_python(), "-m", f"tests.benchmarks.peers.{name}", str(size), folder],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode:
        raise NotHereError((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
    return Handed(**json.loads(done.stdout.splitlines()[-1]))


@cache
def their_python() -> str:
    """Return the Python that has the peers; the first time, make it.

    Raises:
        NotHereError: it cannot be made here.
    """
    wanted = PEERS / "requirements.txt"
    version = sha256(wanted.read_bytes()).hexdigest()[:12]
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cached / "clearlift-bench" / f"peers-{version}"
    python, complete = place / "bin" / "python", place / "complete"
    if not complete.exists():
        say(f"    installing the peers into {place}")
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)]
        for command in ([sys.executable, "-m", "venv", "--clear", str(place)], install):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotHereError((done.stderr.strip().splitlines() or ["no pip"])[-1])
        complete.touch()
    return str(python)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def against(name: str, size: int, least: float, aim: float) -> Row:
    """Return the row that compares us with one peer.

    Raises:
        NotHereError: when it is measured, and the peer cannot run.
    """

    def measure(folder: Path, rounds: int) -> Figure:
        found = side_by_side(folder, rounds, size)
        if name not in found:
            raise NotHereError(name)
        mine, other = found["clearlift"], found[name]
        per_s = [size / statistics.median(each.wall_s for each in all_) for all_ in (mine, other)]
        return Figure(
            ratio([each.wall_s for each in other], [each.wall_s for each in mine]),
            ratio([each.cpu_s for each in other], [each.cpu_s for each in mine]),
            said=f"{per_s[0]:,.0f} and {per_s[1]:,.0f} jobs a second",
        )

    what = f"tick + relay ÷ {name.replace('_', ' on ')} at {size:,} jobs"
    return Row(f"{name}-{size}", what, "at least", least, aim, measure)


ROWS: Final = tuple(against(*each) for each in REACH)
