"""Two or three of the commands at the same moment, each by a door of its own into the database.

They run as tasks. Before and after each call of a port one of them may let the others go first, as
a seed says: in memory that is all that mixes them, the same way each time; on a database they mix
as its own threads and requests do, too. Afterwards the same must hold as when they come one by one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import cycle
from random import Random
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from clearlift_engine.replay import fold, replay
from tests.seed import Row
from tests.stateful import promises
from tests.stateful.commands import Commands, connections
from tests.watched import Side, Watch, nobody, watched
from tests.worker import Worker

# What is said of one connection: it may come before the tick looks, or after.
OF_ONE: Final = ("pause", "resume", "retry", "reconnect")
OTHERS: Final = ("tick", "tick", "relay", "replay", "rebuild", "consumer", *OF_ONE)
DAWDLES_MAX: Final = 4  # Turns of the event loop.


class AtOnce(Commands):
    """One installation, whose commands also come together."""

    @rule(
        first=st.sampled_from(("tick", "relay")),
        others=st.lists(st.sampled_from(OTHERS), min_size=1, max_size=2),
        name=connections,
        seed=st.integers(0, 999),
    )
    def at_once(self, first: str, others: Sequence[str], name: str, seed: int) -> None:
        words = (first, *others)
        before, lives, began_ms = self.jobs(), promises.lives(self.seed), self.clock.now_ms
        expected = self._expected_of(words, name)

        self._run(self._together(words, name, Random(seed)))

        made = [row for job_id, row in self.jobs().items() if job_id not in before]
        self._hold_jobs_against(made, expected)
        if set(words) & set(OF_ONE):
            lives = {each: life for each, life in lives.items() if each != name}
        self._hold_against(lives, began_ms)

    def _expected_of(self, words: Sequence[str], name: str) -> Mapping[str, bool | None]:
        """Return who must get a job, and who must not, whichever command comes first."""
        if "tick" not in words or "consumer" in words:
            return {}
        moved = {name} if set(words) & set(OF_ONE) else set[str]()
        if "relay" in words:  # What it delivers is held no more.
            found = promises.lives(self.seed).items()
            moved |= {each for each, life in found if life.state == "job_created"}
        return {each: self._expects(each) for each in self._of("stripe") if each not in moved}

    def _hold_jobs_against(self, made: Sequence[Row], expected: Mapping[str, bool | None]) -> None:
        owners = [row["connection_id"] for row in made]
        assert len(owners) == len(set(owners)), "two jobs for one connection at one moment"
        for name, wanted in expected.items():
            assert wanted is None or (name in owners) == wanted, f"{name}: {wanted}"

    async def _together(self, words: Sequence[str], name: str, random: Random) -> None:
        doors = (self.worker, self.rival)
        for worker in doors:
            worker.watch = dawdling(random)
        try:
            async with asyncio.TaskGroup() as tasks:
                for word, worker in zip(words, cycle(doors), strict=False):
                    tasks.create_task(self._does(word, worker, name))
        finally:
            for worker in doors:
                worker.watch = nobody

    async def _does(self, word: str, worker: Worker, name: str) -> None:
        match word:
            case "tick":
                await worker.tick()
            case "relay":
                await worker.relay()
            case "replay":
                archive = watched("archive", worker.world.archive, worker.watch)
                assert (await replay(archive)).violations == []
            case "rebuild":
                await worker.world.archive.rebuild(fold)
            case "consumer":
                await self.takes(worker.world.inbox)
            case "reconnect":
                self.connect_anew(name)
            case _:
                store = watched("store", worker.world.store, worker.watch)
                await self.says(word, store, name)


def dawdling(random: Random) -> Watch:
    """Return a watch that lets others go first, now and then, for some turns."""

    async def watch(name: str, side: Side) -> None:
        del name, side
        for _ in range(random.randrange(DAWDLES_MAX)):
            await asyncio.sleep(0)

    return watch
