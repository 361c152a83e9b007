"""Rows about handing N durable jobs to a queue: `tick --relay` beside other people's task queues.

Each peer runs with a Python of its own, made once in the user's cache folder; see `peers`. Their
processor time is that of the process which hands over, without that of their server; ours is all.
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

from tests.benchmarks.measure import copied, cron, environment, filled, ratio
from tests.benchmarks.reach import Figure, NotHereError, Row

PEERS: Final = Path(__file__).with_name("peers")
NAMES: Final = tuple(
    path.stem
    for path in sorted(PEERS.glob("*.py"))
    if path.stem not in ("__init__", "jobs", "servers")
)
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
    empty = filled(folder / f"handing-{size}.db", size)
    found: dict[str, list[Handed]] = {"clearlift": [], **{name: [] for name in NAMES}}
    for _ in range(rounds):
        found["clearlift"].append(ours(copied(empty, folder / "written.db"), size))
        for name in [name for name in NAMES if name in found]:
            try:
                found[name].append(theirs(name, size))
            except NotHereError as exc:
                say(f"    {name} is left out: {exc}")
                del found[name]
    _measured[folder, size] = found
    return found


def ours(file: Path, size: int) -> Handed:
    """Run `tick --relay`: from finding what is due until each message is in the queue."""
    spent = cron(file, "tick", "--relay", "--json")
    report = spent.report
    assert report["jobs_created"] == report["delivered"] == size, report
    return Handed(report["duration_ms"] / 1000, spent.cpu_s)


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
            said=f"{per_s[0]:,.0f} and {per_s[1]:,.0f} jobs a second",
        )

    what = f"tick + relay ÷ {name.replace('_', ' on ')} at {size:,} jobs"
    return Row(f"{name}-{size}", what, "at least", least, aim, measure)


ROWS: Final = (
    against("pgqueuer", 1_000, 0.9, 1.5),
    against("pgqueuer", 10_000, 0.4, 0.8),
    against("eventsourcing", 10_000, 1.5, 3),
    against("procrastinate", 10_000, 2, 5),
    against("dbos", 10_000, 2, 5),
    against("celery", 10_000, 5, 10),
    against("huey_sqlite", 10_000, 1, 5),
    against("huey_redis", 10_000, 1, 5),
)
