"""Everything that one history shares: the loop, the tables, the time, and what is noted of it."""

from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Final

from clearlift_adapters.stores.memory import MemoryDatabase
from tests.simulation.dice import Dice
from tests.simulation.loop import VirtualLoop
from tests.simulation.mix import Mix, drawn

START_MS: Final = 1_791_633_600_000  # 2026-10-10T12:00:00Z


class World:
    """One history's stage. `calm` ends every fault."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Dice(seed)
        self.mix: Mix = drawn(self.random, START_MS)
        self.loop = VirtualLoop(self.random, START_MS)
        self.db = MemoryDatabase()
        self.calm = False
        self.trace: list[str] = []
        self.violations: list[str] = []
        self._ids = count(1)

    @property
    def now_ms(self) -> int:
        """Return the true time."""
        return self.loop.now_ms

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace, of which the same seed gives the same."""
        self.trace.append(f"{self.loop.now_ms - START_MS} {who} {what}")

    def violation(self, text: str) -> None:
        """Report a broken promise; each once."""
        self.note("checker", text)
        if text not in self.violations:
            self.violations.append(text)

    def new_id(self) -> str:
        """Return an id never used before in this history."""
        return f"id-{next(self._ids)}"

    def trace_hash(self) -> str:
        """Return what the whole trace comes down to."""
        return sha256("\n".join(self.trace).encode()).hexdigest()


def text(ms: int, *, plain: bool = False) -> str:
    """Return a time as a shared column holds it: ISO 8601, or as SQLite writes it."""
    at = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return at[:19].replace("T", " ") if plain else f"{at[:23]}Z"


def at(raw: object) -> int:
    """Return a time of a shared column in milliseconds; 0 for none."""
    if not isinstance(raw, str):
        return 0
    moment = datetime.fromisoformat(raw.removesuffix("Z"))
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)
