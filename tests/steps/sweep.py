"""Kills, freezes or cheats a process at each of its steps; others follow; then looks at it all."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.e2e.program import Done
from tests.given import NOW_MS
from tests.steps.checker import Facts, lost
from tests.steps.points import Mode, Point, points
from tests.steps.processes import Warm
from tests.steps.scenes import LATER_MS, Scene
from tests.steps.stage import Stage, stage

KILLED: Final = -9
UNREACHABLE: Final = 5
STRICT: Final = "tiktok-1"  # The only one whose token can be lost, if an answer is.
PACE: Final = "10,0,0"  # Clocks run so many times as fast: a worker waits for a disk that is away.
Journal = Literal["write-ahead log", "rollback journal"]
JOURNALS: Final[Mapping[Journal, dict[str, str]]] = {
    "write-ahead log": {},
    "rollback journal": {"STEPS_ROLLBACK_JOURNAL": "1"},
}


@dataclass
class Outcome:
    """What came of one mode over the steps of one command."""

    name: str
    mode: Mode | Literal["cut"]
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

    async def run(self, mode: Mode, *, every: int = 1, jobs: int = 2) -> Outcome:
        """Do to the command what `mode` says, at each step or at each so-and-so-many."""
        async with self._stage() as first:
            steps = await first.steps(*self.scene.arguments, told=self.scene.environment)
        outcome = Outcome(self.name, mode)
        await together(jobs, (self._try(outcome, point) for point in points(steps, mode, every)))
        return outcome

    async def _try(self, outcome: Outcome, point: Point) -> None:
        async with self._stage() as place:
            wrong = await _FATES[point.mode.partition("-")[0]](place, self.scene, point)
            if wrong is None:
                return  # It took fewer steps than another time.
            asked = len(place.providers.visits)
            wrong += await self.scene.follow(place)
            gone = lost(Facts(place.program.file))
        if gone and (not asked or set(gone) != {STRICT}):
            wrong.append(f"lost {gone} without need")
        outcome.points += 1
        outcome.lost += len(gone)
        outcome.broken += [f"{self.name}: {point}: {each}" for each in wrong]

    def _stage(self) -> AbstractAsyncContextManager[Stage]:
        return stage(self.warm, self.room, self.environment, self.template)


Fate = Callable[[Stage, Scene, Point], Awaitable[list[str] | None]]


async def kill(place: Stage, scene: Scene, point: Point) -> list[str] | None:
    """Kill it; return None if it ended before that."""
    done = await place.run(*scene.arguments, told={**scene.environment, **point.environment})
    return None if done.code != KILLED else []


async def cheat(place: Stage, scene: Scene, point: Point) -> list[str] | None:
    """Let a call fail, or all from it on; return what is wrong with how the command ends."""
    told = {**scene.environment, **point.environment, "STEPS_PACE": PACE}
    return unlike(await place.run(*scene.arguments, told=told), {0, 3, 5})


async def freeze(place: Stage, scene: Scene, point: Point) -> list[str] | None:
    """Freeze it past all leases, let rivals work, and wake it up.

    Every other one knows how long it has slept, as a real one does; the others are worse, for they
    believe that their lease still holds. A rival that finds the file locked does not wait.
    """
    jump_ms = LATER_MS - NOW_MS if point.at % 2 else 0
    told = {**scene.environment, **point.environment, "STEPS_JUMP_MS": str(jump_ms)}
    zombie = await place.start(*scene.arguments, told=told)
    news = await zombie.news()
    if news.code is not None:
        zombie.done(news.code)
        return None
    wrong: list[str] = []
    rival = {**scene.environment, "STEPS_IMPATIENT": "1", "STEPS_PACE": PACE}
    for arguments in (scene.arguments, ("tick", "--relay", "--json")):
        done = await place.run(*arguments, now_ms=LATER_MS, told=rival)
        wrong += unlike(done, {0, 3, 4, 5})
    zombie.signal(signal.SIGCONT)
    return [*wrong, *unlike(await zombie.ended(), {0, 3, 5})]


def unlike(done: Done, codes: set[int]) -> list[str]:
    """Return what is wrong with how a command ended that was disturbed."""
    said = done.err.decode()
    if "Traceback" in said or "unexpected" in said or done.code not in codes:
        return [f"it ended with {done.code}: {said}"]
    if done.code == UNREACHABLE and '"level":"error"' not in said:
        return [f"it did not say why it ended with {done.code}: {said}"]
    return []


_FATES: Final[Mapping[str, Fate]] = {
    "kill": kill,
    "eio": cheat,
    "enospc": cheat,
    "stop": freeze,
}


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
