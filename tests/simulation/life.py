"""One process of the worker: it can be killed, frozen, stopped or cut off at any call of a port.

A dead process can do nothing any more: its tasks are cancelled, and every port refuses it. A frozen
one stands still at its next call; when it thaws it goes on as if nothing had been, a zombie.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, Final, Literal, TypeVar, cast

from clearlift_engine.errors import UnavailableError
from tests.simulation.loop import PROCESS
from tests.simulation.mix import MINUTE_MS, within
from tests.simulation.world import World

Side = Literal["before", "after"]
Port = TypeVar("Port")
Result = TypeVar("Result")

DATABASE: Final = ("store", "vault", "leases")
OVER_THE_NETWORK: Final = (*DATABASE, "queue")
FREEZES_MS: Final = (5_000, 70_000, 70_000, 10 * MINUTE_MS, 40 * MINUTE_MS)
_IS_ASYNC: Final[dict[tuple[type[object], str], bool]] = {}  # For `inspect` takes its time.
SLOW_MS: Final = (1, 10, 100, 1_000)


class KilledError(BaseException):
    """Not an Exception: nothing in the engine may survive it."""


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
        self.line = asyncio.Lock()  # To the database: what is asked first is done first.
        self._thawed: asyncio.Event | None = None

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        """Begin; return what ends when nothing of the process is left."""
        context = copy_context()
        context.run(PROCESS.set, self)
        self.main = context.run(self.world.loop.create_task, work)
        return self.world.loop.create_task(self._lived())

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

    async def watch(self, port: str, method: str, side: Side) -> None:
        """Let a call pass, or let happen whatever the seed has in store for it."""
        if self.dead:
            raise KilledError
        world = self.world
        world.note(self.name, f"{side} {port}.{method}")
        if side == "before":
            if port == "leases":
                self.trouble_at_lease = self.trouble
            await asyncio.sleep(0)
        if not world.calm:
            await self._suffer(port)
        while self._thawed is not None:
            if port == "refresher" and side == "before":
                self.zombies.add(asyncio.current_task())
            await self._thawed.wait()
        if self.dead:
            raise KilledError

    async def _suffer(self, port: str) -> None:
        world, mix = self.world, self.world.mix
        draw = world.random.random()
        if draw < mix.kill:
            self.kill()
        elif draw < mix.kill + mix.freeze:
            self.freeze(world.random.choice(FREEZES_MS))
        elif draw < mix.kill + mix.freeze + mix.stop:
            self.stopped = True
        elif port in OVER_THE_NETWORK:
            if draw > 1 - mix.away:
                raise self.cut_off(f"{port} does not answer")
            if within(mix.outages, world.now_ms):
                raise self.cut_off(f"{port} is away")
            if draw > 1 - mix.away - mix.slow:
                await asyncio.sleep(world.random.choice(SLOW_MS) / 1000)

    async def _lived(self) -> None:
        """Wait for all tasks, and look at how the process ended."""
        assert self.main is not None
        done = 0
        while done < len(self.tasks):
            done = len(self.tasks)
            await asyncio.wait(self.tasks)
        if self.dead or self.main.cancelled():
            return
        exc = self.main.exception()
        if exc is not None and not isinstance(exc, UnavailableError):
            self.world.violation(f"{self.name} ended with {exc!r}")


def owned_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Result] | Generator[Any, None, Result],
    **named: Any,  # noqa: ANN401  whatever the loop passes on to the task
) -> asyncio.Task[Result]:
    """Make a task, as the loop does, and tell its process."""
    task = asyncio.Task(work, loop=loop, **named)
    owner = PROCESS.get()
    if isinstance(owner, Life):
        owner.tasks.append(task)
        if owner.dead:
            task.cancel()
    return task


def behind(life: Life, name: str, port: Port) -> Port:
    """Return a port as one process has it: every call may be its last."""
    return cast("Port", _Behind(life, name, port))


class _Behind:
    def __init__(self, life: Life, name: str, port: object) -> None:
        self._life, self._name, self._port = life, name, port

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for any port
        found = getattr(self._port, method)
        key = type(self._port), method
        if key not in _IS_ASYNC:
            _IS_ASYNC[key] = inspect.iscoroutinefunction(found)
        if _IS_ASYNC[key]:
            found = self._guarded(method, found)
        self.__dict__[method] = found  # From now on without this detour.
        return found

    def _guarded(
        self, method: str, found: Callable[..., Awaitable[object]]
    ) -> Callable[..., Awaitable[object]]:
        name, watch, line = self._name, self._life.watch, self._life.line

        async def call(*args: object, **kwargs: object) -> object:
            await watch(name, method, "before")
            result = await found(*args, **kwargs)
            await watch(name, method, "after")
            return result

        async def in_line(*args: object, **kwargs: object) -> object:
            async with line:
                return await call(*args, **kwargs)

        return in_line if name in DATABASE else call
