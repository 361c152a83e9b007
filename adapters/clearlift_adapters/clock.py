"""The clocks: the machine's, one that was set to another time, and one that a test moves."""

import asyncio
import heapq
import time
from itertools import count


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
    """Virtual time: it moves only when it is set, or when a task sleeps.

    Whoever wakes first sees the clock first, in whatever order the tasks went to sleep. No sleep
    takes real time, so a task that works without sleeping does so at one instant.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._sleepers: list[tuple[int, int]] = []
        self._numbers = count()

    def now(self) -> int:
        """Return the virtual time."""
        return self.now_ms

    async def sleep(self, ms: int) -> None:
        """Move the clock on by `ms`, once those who sleep less have woken."""
        me = (self.now_ms + ms, next(self._numbers))
        heapq.heappush(self._sleepers, me)
        try:
            await asyncio.sleep(0)
            while self._sleepers[0] != me:  # noqa: ASYNC110  any turn of the loop may change it
                await asyncio.sleep(0)
            self.now_ms = max(self.now_ms, me[0])
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)
