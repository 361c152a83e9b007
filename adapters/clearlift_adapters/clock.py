"""The clocks: the machine's, one that was set to another time, and one that a test moves."""

import asyncio
import heapq
import time
from itertools import count
from typing import Final

TURNS: Final = 100  # Of the event loop: more than any task takes from waking to its next sleep.


class SystemClock:
    """The machine's own time."""

    def now(self) -> int:
        """Return the time of day."""
        return time.time_ns() // 1_000_000

    async def sleep(self, ms: int) -> None:
        """Return after `ms`."""
        await asyncio.sleep(ms / 1000)


class ShiftedClock:
    """The clock that CLEARLIFT_NOW sets: it shows that time when it is first read, and runs on.

    The first reading is exact, so that a tick decides at the very moment that was named; and
    because it runs, leases end and slots come as they do otherwise.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._first_read_ns: int | None = None

    def now(self) -> int:
        """Return the time that was set, and what has passed since the first reading."""
        read_ns = time.monotonic_ns()
        if self._first_read_ns is None:
            self._first_read_ns = read_ns
        return self._now_ms + (read_ns - self._first_read_ns) // 1_000_000

    async def sleep(self, ms: int) -> None:
        """Return after `ms` of real time."""
        await asyncio.sleep(ms / 1000)


class FixedClock:
    """Virtual time: it moves only when it is set, or when every task sleeps.

    Whoever wakes first sees the clock first, in whatever order the tasks went to sleep. No sleep
    takes real time, and what a task does without sleeping it does at one instant.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._mover: asyncio.Task[None] | None = None

    def now(self) -> int:
        """Return the virtual time."""
        return self.now_ms

    async def sleep(self, ms: int) -> None:
        """Return when the clock has moved on by `ms`."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_ms + ms, next(self._numbers), woken))
        if self._mover is None or self._mover.done():
            self._mover = asyncio.create_task(self._move())
        await woken

    async def _move(self) -> None:
        """Wake one sleeper after the other, each when those before it have nothing left to do."""
        while self._sleepers:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            at_ms, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self.now_ms = max(self.now_ms, at_ms)
                woken.set_result(None)
