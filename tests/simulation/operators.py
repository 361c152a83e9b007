"""Those who pause, resume and retry connections while everything else goes on.

They have dice of their own: a history in which none of them acts is what it would be without them.
"""

from typing import Final

from clearlift_engine import operators
from clearlift_engine.operators import Answer
from clearlift_engine.policy import Schedule
from clearlift_engine.ports import Store
from tests.simulation.dice import Dice
from tests.simulation.mix import busy
from tests.simulation.world import World

WORDS: Final = ("pause", "pause", "resume", "retry", "retry")


class Operators:
    """They act at moments of their choice, each time as a process that may die of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Dice(f"operators of {world.seed}")

    def moments(self) -> list[int]:
        """Return when they act: in most histories never."""
        mix = self._world.mix
        return [
            busy(self._random, mix.ticks, mix.chaos_ms)
            for _ in range(self._random.choice(mix.operators))
        ]

    async def act(self, store: Store, at_ms: int, run_id: str) -> None:
        """Say one word about one connection."""
        rows = list(self._world.db.connections.values())
        connection_id, word = self._random.choice(rows).id, self._random.choice(WORDS)
        self._world.note(run_id, f"{word} {connection_id}")
        answer = await self._say(store, word, connection_id, at_ms, run_id)
        if answer is not None:
            self._world.note(run_id, answer.outcome)

    async def resume_all(self, store: Store) -> None:
        """Do what is done when the trouble is over."""
        for row in list(self._world.db.connections.values()):
            await self._say(store, "resume", row.id, self._world.now_ms, "all well")

    async def _say(
        self, store: Store, word: str, connection_id: str, at_ms: int, run_id: str
    ) -> Answer | None:
        by, reason, mix = "an operator", "trouble", self._world.mix
        match word:
            case "pause":
                return await operators.pause(
                    store, connection_id, reason=reason, by=by, at_ms=at_ms, run_id=run_id
                )
            case "resume":
                return await operators.resume(
                    store, connection_id, reason=reason, by=by, at_ms=at_ms, run_id=run_id
                )
            case _:
                schedule = Schedule(mix.interval_ms, mix.job_limit_ms, mix.margin_ms)
                return await operators.retry(
                    store,
                    connection_id,
                    schedule=schedule,
                    reason=None,
                    by=by,
                    at_ms=at_ms,
                    run_id=run_id,
                )
