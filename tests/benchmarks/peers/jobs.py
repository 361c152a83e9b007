"""What each peer is given, and how it is timed."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

PORTION: Final = 500  # Jobs handed over together, where a peer can do that: as many as our batch.

Job = dict[str, Any]


def asked() -> tuple[list[Job], Path]:
    """Return the jobs to hand over, and where files may be put."""
    count, folder = sys.argv[1:]
    return [job(number) for number in range(int(count))], Path(folder)


def job(number: int) -> Job:
    """Return a message as product.md has it."""
    return {
        "job_id": str(uuid4()),
        "connection_id": f"org-{number % 100}-stripe-{number}",
        "organization_id": f"org-{number % 100}",
        "platform": "stripe",
        "account_id": str(number),
        "job_type": "incremental",
        "sync_window": {"start": "2026-10-10T03:00:00.000Z", "end": "2026-10-10T12:00:00.000Z"},
        "metadata": {
            "retry_count": 0,
            "created_at": "2026-10-10T12:00:00.000Z",
            "priority": "normal",
        },
    }


def portions(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """Cut the jobs into portions."""
    for start in range(0, len(jobs), PORTION):
        yield jobs[start : start + PORTION]


def on_its_own() -> float:
    """Return no processor time of a server: there is none, or nobody knows it."""
    return 0


class Stopwatch:
    """A context that measures what happens in it: of this process, and of its server."""

    def __init__(self, server_cpu_s: Callable[[], float] = on_its_own) -> None:
        self._server_cpu_s = server_cpu_s

    def __enter__(self) -> Self:
        self._server_s = self._server_cpu_s()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.perf_counter() - self._wall
        self.cpu_s = time.process_time() - self._cpu + self._server_cpu_s() - self._server_s


def timed(
    hand_over: Callable[[], object], server_cpu_s: Callable[[], float] = on_its_own
) -> Stopwatch:
    """Return what it takes to hand all over."""
    with Stopwatch(server_cpu_s) as watch:
        hand_over()
    return watch


def tell(watch: Stopwatch, *, there: int, wanted: int) -> None:
    """Print what was measured, once all jobs are where they should be."""
    assert there == wanted, f"{there} jobs are there, not {wanted}"
    sys.stdout.write(json.dumps({"wall_s": watch.wall_s, "cpu_s": watch.cpu_s}) + "\n")
