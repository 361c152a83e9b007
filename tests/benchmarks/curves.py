"""Time against the number of jobs, for us, for Floor A and for the peers: what the plot shows."""

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.benchmarks import handing, writing
from tests.benchmarks.plot import Curve
from tests.benchmarks.reach import NotHereError

SIZES: Final = (100, 1_000, 10_000, 100_000)
PATIENCE_S: Final = 30  # What a peer may take; one that needs longer has no larger sizes.


def measured(rounds: int, sizes: tuple[int, ...] = SIZES) -> Mapping[str, Curve]:
    """Return medians; of peers those that run here, as far as they get."""
    us, floor = dict[int, float](), dict[int, float]()
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            beside = writing.beside(Path(folder), rounds, size)
            us[size] = statistics.median(beside.worker_s)
            floor[size] = statistics.median(beside.floor_s)
    found: dict[str, Curve] = {"tick + relay": us, "Floor A (plain sqlite3)": floor}
    for name in handing.NAMES:
        handing.say(f"    {name}")
        curve = of_peer(name, rounds, sizes)
        if curve:
            found[name.replace("_", " on ")] = curve
    return found


def of_peer(name: str, rounds: int, sizes: tuple[int, ...]) -> Curve:
    """Return a peer's medians, up to where it takes too long."""
    curve: dict[int, float] = {}
    for size in sizes:
        try:
            curve[size] = statistics.median(
                handing.theirs(name, size).wall_s for _ in range(rounds)
            )
        except NotHereError as exc:
            handing.say(f"    left out: {exc}")
            break
        if curve[size] * 10 > PATIENCE_S:
            break
    return curve
