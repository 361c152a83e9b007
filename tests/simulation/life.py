"""One process of the worker: it can be killed, frozen, stopped or cut off at any call of a port.

A dead process can do nothing any more: its tasks are cancelled, and every port refuses it. A frozen
one stands still at its next call; when it thaws it goes on as if nothing had been, a zombie.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

from clearlift_engine.errors import UnavailableError
from tests.simulation.loop import PROCESS
from tests.simulation.mix import within
from tests.simulation.world import World

Port = TypeVar("Port")
Result = TypeVar("Result")

DATABASE: Final = ("store", "vault", "leases")
OVER_THE_NETWORK: Final = (*DATABASE, "queue")
SLOW_MS: Final = (1, 10, 100, 1_000)
HARMLESS: Final = 0.5


class KilledError(BaseException):
    """Not an Exception: nothing in the engine may survive it."""


class Line:
    """Who asks first is served first, one at a time: an `asyncio.Lock` that is quick when free."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def is_free(self) -> bool:
        """Take a free line, and return whether it was free."""
        free = not self._taken
        self._taken = True
        return free

    async def turn(self) -> None:
        """Wait until everybody before has left."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Let the next one have it, who does not have to hurry: nobody can come in between."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                return
        self._taken = False


class Life:
    """One process, from its start to its end or its death."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.dead = self.stopped = False
        self.trouble = 0  # How often something happened after which it cannot know what it did.
        self.trouble_at_lease = 0  # When it last asked for the relay's lease.
        self.tasks: list[asyncio.Task[Any]] = []
        self.main: asyncio.Task[Any] | None = None
        self.zombies: set[asyncio.Task[Any] | None] = set()  # Thawed on their way to a provider.
        self.line = Line()  # To the database.
        self._ended = world.loop.create_future()
        self._thawed: asyncio.Event | None = None
        mix = world.mix
        self._struck = mix.kill + mix.freeze + mix.stop  # A draw below that strikes the process.
        self._outages = bool(mix.outages)
        self._hindered = 1 - mix.away - mix.slow  # One above that, the call.

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Future[None]:
        """Begin; return what ends when nothing of the process is left."""
        context = copy_context()
        context.run(PROCESS.set, self)
        self.main = context.run(self.world.loop.create_task, work)
        self.main.add_done_callback(self._look_at_end)
        return self._ended

    def should_stop(self) -> bool:
        """Return whether the process was asked to end."""
        return self.stopped

    def kill(self) -> None:
        """End it here and now, whatever it holds in its hands."""
        self.world.note(self.name, "killed")
        self.dead = True
        self.trouble += 1
        for task in self.tasks:
            task.cancel()
        self.thaw()

    def freeze(self, ms: int) -> None:
        """Let it stand still for a while."""
        if self._thawed is None:
            self.world.note(self.name, f"frozen for {ms}")
            self.trouble += 1
            self._thawed = asyncio.Event()
            self.world.loop.call_in(ms, self.thaw)

    def thaw(self) -> None:
        """Let it go on where it stood."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    def cut_off(self, why: str) -> UnavailableError:
        """Return the error of a call that got no answer."""
        self.world.note(self.name, why)
        self.trouble += 1
        return UnavailableError(why)

    def passes(self, what: str) -> None:
        """Note a side of a call, which no dead process gets to."""
        if self.dead:
            raise KilledError
        self.world.note(self.name, what)

    def drawn(self) -> float | None:
        """Return what this side of a call has drawn, or None if nothing comes of it."""
        world = self.world
        draw = HARMLESS if world.calm else world.random.random()
        passes = self._struck <= draw <= self._hindered and not self._outages
        return None if passes and self._thawed is None and not self.dead else draw

    async def suffer(self, port: str, draw: float, *, before: bool) -> None:
        """Let happen whatever the seed has in store for a call."""
        if not self.world.calm:
            await self._suffer(port, draw)
        while self._thawed is not None:
            if port == "refresher" and before:
                self.zombies.add(asyncio.current_task())
            await self._thawed.wait()
        if self.dead:
            raise KilledError

    async def _suffer(self, port: str, draw: float) -> None:
        world, mix = self.world, self.world.mix
        if draw < mix.kill:
            self.kill()
        elif draw < mix.kill + mix.freeze:
            self.freeze(world.random.choice(mix.freezes_ms))
        elif draw < self._struck:
            self.stopped = True
        elif port in OVER_THE_NETWORK:
            if draw > 1 - mix.away:
                raise self.cut_off(f"{port} does not answer")
            if within(mix.outages, world.now_ms):
                raise self.cut_off(f"{port} is away")
            if draw > self._hindered:
                await world.loop.pause(world.random.choice(SLOW_MS))

    def _look_at_end(self, _: object) -> None:
        """When the last task is over, look at how the process ended."""
        for task in self.tasks:
            if not task.done():
                task.add_done_callback(self._look_at_end)
                return
        self._ended.set_result(None)
        assert self.main is not None
        if self.dead or self.main.cancelled():
            return
        exc = self.main.exception()
        if exc is not None and not isinstance(exc, UnavailableError):
            self.world.violation(f"{self.name} ended with {exc!r}")


def owned(task: asyncio.Task[Any]) -> None:
    """Tell the process of a new task of its."""
    owner = PROCESS.get()
    if isinstance(owner, Life):
        owner.tasks.append(task)
        if owner.dead:
            task.cancel()


def behind(life: Life, name: str, port: Port) -> Port:
    """Return a port as one process has it: every call may be its last."""
    kind = name, cast("type[object]", type(port))
    if kind not in _SHAPES:
        _SHAPES[kind] = _shape(*kind)
    return cast("Port", _SHAPES[kind](life, port))


class _Behind:
    """Stands in for any port: its class has what may be awaited, the rest is the port's own."""

    def __init__(self, life: Life, port: object) -> None:
        self.life, self.port = life, port

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for any port
        found = self.__dict__[method] = getattr(self.port, method)
        return found


_SHAPES: Final[dict[tuple[str, type[object]], type[_Behind]]] = {}


def _shape(name: str, port: type[object]) -> type[_Behind]:
    found = inspect.getmembers(port, inspect.iscoroutinefunction)
    calls = {method: _guarded(name, method) for method, _ in found}
    return type(f"Behind{port.__name__}", (_Behind,), calls)


def _guarded(name: str, method: str) -> Callable[..., Awaitable[object]]:
    before, after = f"before {name}.{method}", f"after {name}.{method}"
    has_line, is_lease = name in DATABASE, name == "leases"

    async def call(self: _Behind, *args: object, **kwargs: object) -> object:
        life = self.life
        if has_line and not life.line.is_free():
            await life.line.turn()
        try:
            life.passes(before)
            if is_lease:
                life.trouble_at_lease = life.trouble
            await life.world.loop.step_aside()
            if (draw := life.drawn()) is not None:
                await life.suffer(name, draw, before=True)
            result: object = await getattr(self.port, method)(*args, **kwargs)
            life.passes(after)
            if (draw := life.drawn()) is not None:
                await life.suffer(name, draw, before=False)
            return result
        finally:
            if has_line:
                life.line.leave()

    return call
