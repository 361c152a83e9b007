"""A queue with what a test must be able to do to it, for each adapter that there is.

A new queue adapter is one more entry in BROKERS, and passes tests/conformance/test_queue.py.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Protocol

from clearlift_adapters.backend import Cloudflare as Cloudflared
from clearlift_adapters.backend import open_backend
from clearlift_adapters.clock import FixedClock
from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.events import Level
from clearlift_engine.policy import MESSAGE_BYTES_MAX
from clearlift_engine.ports import Appended, Commit, Message, Queue, Receipt, Staged
from tests.given import DUE, ENQUEUED, NOW_MS, commit, created
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.faults import FOREVER
from tests.world import World, memory_world, sqlite_world


class Faults(Protocol):
    """What can go wrong with a queue, for as long as the context lasts."""

    def down(self) -> AbstractContextManager[None]: ...

    def losing_answers(self) -> AbstractContextManager[None]: ...

    def rejecting(self, job_id: str) -> AbstractContextManager[None]: ...


class Broker(Protocol):
    """One queue, and whoever is behind it."""

    @property
    def queue(self) -> Queue: ...

    @property
    def clock(self) -> FixedClock: ...

    @property
    def faults(self) -> Faults | None:
        """Return what can go wrong beyond the database; None: nothing."""
        ...

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        """Publish, and do what the receipts ask of the relay."""
        ...

    async def stored(self) -> Sequence[Message]:
        """Return what a consumer would find, oldest first."""
        ...


class MemoryBroker:
    """A MemoryQueue; it is its own Faults."""

    def __init__(self, level: Level) -> None:
        self.clock = FixedClock(NOW_MS)
        self.queue = MemoryQueue(self.clock, level=level)

    @property
    def faults(self) -> Faults:
        return self

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        return await self.queue.publish(messages)

    async def stored(self) -> Sequence[Message]:
        return [held.message for held in self.queue.stored]

    @contextmanager
    def down(self) -> Generator[None]:
        self.queue.down = True
        yield
        self.queue.down = False

    @contextmanager
    def losing_answers(self) -> Generator[None]:
        self.queue.losing_answers = 1
        yield

    @contextmanager
    def rejecting(self, job_id: str) -> Generator[None]:
        self.queue.rejecting = {job_id: "the broker says no"}
        yield
        self.queue.rejecting = {}


class EmbeddedBroker:
    """The queue in the database of a world: what is staged is stored by a commit."""

    faults: Faults | None = None

    def __init__(self, world: World) -> None:
        self.clock = FixedClock(NOW_MS)
        self.queue = world.queue
        self._world = world
        self._streams = count(1)

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        receipts = await self.queue.publish(messages)
        staged = [receipt.message for receipt in receipts if isinstance(receipt, Staged)]
        commits = [self._recording(message) for message in staged]
        assert await self._world.store.append(commits) == Appended()
        return receipts

    def _recording(self, message: Message) -> Commit:
        name = f"c{next(self._streams)}"
        events = (DUE, created(name), ENQUEUED)
        return commit(name, *events, at_ms=self.clock.now(), outgoing=message)

    async def stored(self) -> Sequence[Message]:
        letters = await self._world.inbox.peek(limit=10_000)
        return [Message(letter.job_id, letter.body.encode()) for letter in letters]


class CloudflareBroker:
    """A queue on workerd, whose messages wait to be pulled; it is its own Faults."""

    def __init__(self, running: Cloudflare, queue_id: str, queue: Queue, clock: FixedClock) -> None:
        self.queue, self.clock = queue, clock
        self._running, self._queue_id = running, queue_id
        self._swollen: Collection[str] = ()
        self._job_ids: dict[str, str] = {}  # By body: nothing else of a message is delivered.

    @property
    def faults(self) -> Faults:
        return self

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        self._job_ids |= {each.body.decode(): each.job_id for each in messages}
        return await self.queue.publish([self._as_sent(each) for each in messages])

    def _as_sent(self, message: Message) -> Message:
        if message.job_id not in self._swollen:
            return message
        return Message(message.job_id, b'"' + b"x" * MESSAGE_BYTES_MAX + b'"')

    async def stored(self) -> Sequence[Message]:
        bodies = [each.body for each in self._running.deliveries(self._queue_id)]
        return [Message(self._job_ids[body], body.encode()) for body in bodies]

    @contextmanager
    def down(self) -> Generator[None]:
        self._running.inject(faults.html(503).at("*", times=FOREVER))
        yield
        self._running.inject()

    @contextmanager
    def losing_answers(self) -> Generator[None]:
        self._running.inject(faults.reset(when="after").at("*", times=FOREVER))
        yield
        self._running.inject()

    @contextmanager
    def rejecting(self, job_id: str) -> Generator[None]:
        self._swollen = {job_id}
        yield
        self._swollen = ()


OpenBroker = Callable[[Path, Path], AbstractAsyncContextManager[Broker]]


@asynccontextmanager
async def memory_broker(level: Level, empty: Path, folder: Path) -> AsyncGenerator[Broker]:
    del empty, folder
    yield MemoryBroker(level)


@asynccontextmanager
async def embedded_memory(empty: Path, folder: Path) -> AsyncGenerator[Broker]:
    async with memory_world(empty, folder) as world:
        yield EmbeddedBroker(world)


@asynccontextmanager
async def embedded_sqlite(empty: Path, folder: Path) -> AsyncGenerator[Broker]:
    async with sqlite_world(empty, folder) as world:
        yield EmbeddedBroker(world)


@asynccontextmanager
async def cloudflare_broker(running: Cloudflare) -> AsyncGenerator[Broker]:
    stage, clock = running.stage(), FixedClock(NOW_MS)
    url = f"cloudflare://{stage.account}/{stage.pulled}"
    access = Cloudflared(running.tokens.token, running.base_url, clock)
    async with open_backend(stage.database_url, url, cloudflare=access) as backend:
        yield CloudflareBroker(running, stage.pulled, backend.queue, clock)


BROKERS: Final[dict[str, OpenBroker]] = {
    "memory, windowless": partial(memory_broker, "windowless"),
    "memory, windowed": partial(memory_broker, "windowed"),
    "memory, at least once": partial(memory_broker, "at_least_once"),
    "memory, same transaction": embedded_memory,
    "sqlite, same transaction": embedded_sqlite,
}  # And cloudflare_broker, which takes a running Cloudflare.
