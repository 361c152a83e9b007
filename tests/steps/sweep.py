"""Kills a process at each of its steps, runs it again, and looks at everything."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.steps.checker import Facts, lost
from tests.steps.points import Mode, Point, points
from tests.steps.processes import Warm
from tests.steps.scenes import Scene
from tests.steps.stage import stage

KILLED: Final = -9
Journal = Literal["write-ahead log", "rollback journal"]
JOURNALS: Final[Mapping[Journal, dict[str, str]]] = {
    "write-ahead log": {},
    "rollback journal": {"STEPS_ROLLBACK_JOURNAL": "1"},
}


@dataclass
class Outcome:
    """What came of one mode over the steps of one command."""

    name: str
    mode: Mode
    points: int = 0
    lost: int = 0  # Rotated tokens that died with an answer that nobody got.
    broken: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        lost = f", {self.lost} with an answer lost" if self.lost else ""
        return f"{self.name}: {self.mode}: {self.points} points, {len(self.broken)} broken{lost}"


class Sweep:
    """The points of one scene, which is set up once and copied for each."""

    def __init__(self, warm: Warm, room: Path, name: str, scene: Scene, journal: Journal) -> None:
        self.warm, self.room, self.scene = warm, room, scene
        self.name = f"{name}, {journal}"
        self.environment = JOURNALS[journal]
        self.template = room / f"template of {self.name}"

    async def prepare(self) -> None:
        """Set the scene, and keep its files."""
        async with stage(self.warm, self.room, self.environment) as first:
            await self.scene.prepare(first)
            first.folder.rename(self.template)

    async def kill(self, mode: Mode, *, every: int = 1, jobs: int = 2) -> Outcome:
        """Kill at each step, or at each so-and-so-many."""
        async with stage(self.warm, self.room, self.environment, self.template) as first:
            steps = await first.steps(*self.scene.arguments, told=self.scene.environment)
        outcome = Outcome(self.name, mode)
        await together(jobs, (self._killed(outcome, point) for point in points(steps, mode, every)))
        return outcome

    async def _killed(self, outcome: Outcome, point: Point) -> None:
        scene = self.scene
        async with stage(self.warm, self.room, self.environment, self.template) as scratch:
            told = {**scene.environment, **point.environment}
            done = await scratch.run(*scene.arguments, told=told)
            if done.code != KILLED:
                return  # It took fewer steps than another time.
            asked = len(scratch.providers.visits)
            wrong = await scene.follow(scratch)
            gone = lost(Facts(scratch.program.file))
            if gone and (not asked or set(gone) != {"tiktok-1"}):
                wrong.append(f"lost {gone} without need")
        outcome.points += 1
        outcome.lost += len(gone)
        outcome.broken += [f"{self.name}: {point}: {each}" for each in wrong]


async def together(jobs: int, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of `work`, so many at a time."""
    waiting = iter(work)

    async def some() -> None:
        for each in waiting:
            await each

    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(some())


def broken(outcomes: Sequence[Outcome]) -> list[str]:
    """Return everything that was wrong anywhere."""
    return [each for outcome in outcomes for each in outcome.broken]
