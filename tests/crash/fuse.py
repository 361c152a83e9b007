"""A fuse over all ports of one process: at one call it stops the process, for a while or for good.

It counts calls wherever they are made: a new await is a new crash point, not a new test.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, Final

from tests.watched import Side

SIDES: Final[tuple[Side, ...]] = ("before", "after")


class Killed(BaseException):
    """Not an Exception: nothing in the engine may survive it."""


class Fuse:
    """Blows before or after the call with the number `blows_at`: the process stands still."""

    def __init__(self, blows_at: int, side: Side) -> None:
        self.calls = 0
        self.blown = asyncio.Event()
        self.thawed = asyncio.Event()
        self.dead = False
        self._blows_at, self._side = blows_at, side
        self._name = ""
        self._caller: asyncio.Task[Any] | None = None

    async def watch(self, name: str, side: Side) -> None:
        """Let a call pass, or none any more once the fuse has blown."""
        if self.dead:
            raise Killed
        me = asyncio.current_task()
        if side == "before" and not self.blown.is_set():
            self.calls += 1
            if self.calls == self._blows_at:
                self._caller, self._name = me, name
        if self._caller is me and side == self._side:
            self.blown.set()
        if self.blown.is_set():
            await self.thawed.wait()

    def __str__(self) -> str:
        return f"{self._side} call {self._blows_at}, {self._name}"


async def until_blown(work: Coroutine[Any, Any, object], fuse: Fuse) -> "asyncio.Task[object]":
    """Run a process until it ends or its fuse blows; return its main task."""
    process = asyncio.create_task(work)
    blown = asyncio.create_task(fuse.blown.wait())
    await asyncio.wait((process, blown), return_when=asyncio.FIRST_COMPLETED)
    blown.cancel()
    return process


async def until_killed(work: Coroutine[Any, Any, object], fuse: Fuse) -> None:
    """Run a process until it ends or its fuse blows; then nothing of it is left.

    Raises:
        Exception: the process has failed by itself.
    """
    others = asyncio.all_tasks()
    process = await until_blown(work, fuse)
    if not fuse.blown.is_set():
        await process
        return
    fuse.dead = True
    left = {process, *asyncio.all_tasks()} - others
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def at_every_call(side: Side, run: Callable[[Fuse], Awaitable[None]]) -> int:
    """Run with a fuse for each call that there is; return how many there are."""
    for number in count(1):
        fuse = Fuse(number, side)
        try:
            await run(fuse)
        except BaseException as exc:
            exc.add_note(str(fuse))
            raise
        if fuse.calls < number:
            return fuse.calls
    raise AssertionError
