"""An event loop without clock, sockets or threads: time is a number, a seed decides the order.

Within one process callbacks keep their order, as asyncio promises; of several processes any may be
the next to move, whatever the order in which they became ready. When nothing is ready, time jumps
to the next timer, so a simulated hour takes no longer than what happens in it.

What is ready is a tuple and not a Handle: nobody cancels it, and a history is mostly made of these.
"""

import asyncio
from asyncio import events
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heappop, heappush
from types import coroutine
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack, cast

from tests.simulation.dice import Dice

Args = TypeVarTuple("Args")
Result = TypeVar("Result")
Work = Coroutine[Any, Any, Result] | Generator[Any, None, Result]
Ready = tuple[Context, Callable[..., object], tuple[Any, ...]]
PROCESS: Final[ContextVar[object]] = ContextVar("process", default=None)


class StandstillError(Exception):
    """Nothing is ready, no timer is set, and yet somebody waits: for ever."""


@coroutine
def _step() -> Generator[None]:
    yield


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _unheeded(task: asyncio.Task[Any]) -> None:
    """Hear of a new task, and do nothing."""


class _Soon(asyncio.Handle):
    """What `call_soon` returns, one for all: who wants to cancel has to set a timer."""

    def cancel(self) -> None:
        raise AssertionError


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop; `now_ms` is the true time, which only the simulation knows."""

    def __init__(self, random: Dice, now_ms: int) -> None:
        super().__init__()
        self.now_ms = now_ms
        self.at_birth: Callable[[asyncio.Task[Any]], None] = _unheeded  # Hears of each task.
        self._draw = random.random
        self._lanes: dict[object, deque[Ready]] = defaultdict(deque)  # By process.
        self._busy: list[deque[Ready]] = []  # The lanes in which something is ready.
        self._timers: list[tuple[int, int, asyncio.TimerHandle | None, Ready]] = []
        self._timers_set = 0
        self._soon = _Soon(print, (), self, copy_context())

    def time(self) -> float:
        return self.now_ms / 1000

    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if context is None:
            context = copy_context()
        lane = self._lanes[context.get(PROCESS)]
        if not lane:
            self._busy.append(lane)
        lane.append((context, callback, args))
        return self._soon

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._set(round(when * 1000), timer, (context, callback, args))
        return timer

    def call_in(self, ms: int, callback: Callable[[], object]) -> None:
        """Do something later, in milliseconds."""
        self._set(self.now_ms + ms, None, (copy_context(), callback, ()))

    async def pause(self, ms: int) -> None:
        """Return after a while: `asyncio.sleep`, for those who count in milliseconds."""
        if ms <= 0:
            await _step()
            return
        over: asyncio.Future[None] = self.create_future()
        self.call_in(ms, partial(_wake, over))
        await over

    async def step_aside(self) -> None:
        """Let others move, if there are any: `asyncio.sleep(0)`, but for the way back to here."""
        if self._busy:
            await _step()

    def create_task(
        self, coro: Work[Result], *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Result]:
        named = None if name is None else str(name)
        task = asyncio.Task(coro, loop=self, name=named, context=context)
        self.at_birth(task)
        return task

    def run_until_complete(
        self, future: Generator[Any, None, Result] | Awaitable[Result]
    ) -> Result:
        """Return what comes of `future`: one callback after the other, each of any process."""
        task = asyncio.ensure_future(cast("Awaitable[Result]", future), loop=self)
        busy, draw = self._busy, self._draw
        events._set_running_loop(self)  # noqa: SLF001  as every loop does
        try:
            while not task.done():
                if not busy:
                    self._jump()
                chosen = int(draw() * len(busy)) if len(busy) > 1 else 0
                lane = busy[chosen]
                context, callback, args = lane.popleft()
                if not lane:
                    busy[chosen] = busy[-1]
                    busy.pop()
                context.run(callback, *args)
        finally:
            events._set_running_loop(None)  # noqa: SLF001  as every loop does
        return task.result()

    def _set(self, at_ms: int, timer: asyncio.TimerHandle | None, ready: Ready) -> None:
        self._timers_set += 1
        heappush(self._timers, (at_ms, self._timers_set, timer, ready))

    def _jump(self) -> None:
        """Move time on to the next timer, and make all that are set for that moment ready."""
        timers = self._timers
        while not self._busy:
            if not timers:
                raise StandstillError
            at_ms = timers[0][0]
            while timers and timers[0][0] <= at_ms:
                _, _, timer, ready = heappop(timers)
                if timer is None or not timer.cancelled():
                    self.now_ms = max(self.now_ms, at_ms)
                    context, callback, args = ready
                    self.call_soon(callback, *args, context=context)
