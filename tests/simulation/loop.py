"""An event loop without clock, sockets or threads: time is a number, a seed decides the order.

Within one process callbacks keep their order, as asyncio promises; of several processes any may be
the next to move, whatever the order in which they became ready. When nothing is ready, time jumps
to the next timer, so a simulated hour takes no longer than what happens in it.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, TypeVarTuple, Unpack

Args = TypeVarTuple("Args")
PROCESS: Final[ContextVar[object]] = ContextVar("process", default=None)


class StandstillError(Exception):
    """Nothing is ready, no timer is set, and yet somebody waits: for ever."""


class _Ready(asyncio.Handle):
    def fire(self) -> None:
        self._run()


class _Timer(asyncio.TimerHandle):
    def fire(self) -> None:
        self._run()


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop; `now_ms` is the true time, which only the simulation knows."""

    def __init__(self, random: Random, now_ms: int) -> None:
        super().__init__()
        self.now_ms = now_ms
        self._draw = random.random
        self._lanes: dict[object, deque[_Ready | _Timer]] = defaultdict(deque)  # By process.
        self._busy: list[deque[_Ready | _Timer]] = []  # The lanes in which something is ready.
        self._timers: list[tuple[int, int, object, _Timer]] = []
        self._numbers = count()

    def time(self) -> float:
        return self.now_ms / 1000

    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = _Ready(callback, args, self, context)
        self._line_up(PROCESS.get() if context is None else context.get(PROCESS), handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        heappush(self._timers, (round(when * 1000), next(self._numbers), process, timer))
        return timer

    def call_in(self, ms: int, callback: Callable[[], object]) -> None:
        """Do something later, in milliseconds."""
        self.call_at((self.now_ms + ms) / 1000, callback)

    def _line_up(self, process: object, handle: _Ready | _Timer) -> None:
        lane = self._lanes[process]
        if not lane:
            self._busy.append(lane)
        lane.append(handle)

    def _run_once(self) -> None:
        """Run one callback: what BaseEventLoop asks of its children."""
        busy = self._busy
        if not busy:
            self._jump()
        chosen = int(self._draw() * len(busy)) if len(busy) > 1 else 0
        handle = busy[chosen].popleft()
        if not busy[chosen]:
            busy[chosen] = busy[-1]
            busy.pop()
        if not handle.cancelled():
            handle.fire()

    def _jump(self) -> None:
        """Move time on to the next timer, and make all that are set for that moment ready."""
        timers = self._timers
        while not self._busy:
            if not timers:
                raise StandstillError
            at_ms = timers[0][0]
            while timers and timers[0][0] <= at_ms:
                _, _, process, timer = heappop(timers)
                if not timer.cancelled():
                    self.now_ms = max(self.now_ms, at_ms)
                    self._line_up(process, timer)
