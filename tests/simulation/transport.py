"""The queue with its faults and its ledger, and the store that lets others see each commit."""

from collections.abc import Callable, Sequence

import msgspec

from clearlift_adapters.queues.memory import MemoryQueue, MemorySameTransactionQueue
from clearlift_adapters.stores.memory import MemoryDatabase, MemoryStore
from clearlift_engine.events import Level
from clearlift_engine.pacing import Gate
from clearlift_engine.ports import Appended, Commit, Depth, Limits, Message, Receipt
from tests.simulation.life import Life
from tests.simulation.world import World


class Handed(msgspec.Struct, frozen=True):
    """One call of publish, as it really was."""

    job_ids: Sequence[str]
    life: Life
    trouble: int  # Of its process, when it asked whether it may.

    @property
    def unknown(self) -> bool:
        """Return whether the relay may not know how it ended, or outslept its lease before."""
        return self.life.trouble > self.trouble


class Broker:
    """What all processes share of the queue."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.level: Level = world.mix.level
        self.handed: list[Handed] = []
        self.rejected: dict[str, str] = {}
        self.look: Callable[[], None] = lambda: None  # Of the consumer.
        self.inner: MemoryQueue | None = None
        if self.level != "same_transaction":
            self.inner = MemoryQueue(_TrueClock(world), level=self.level)
            self.rejected = self.inner.rejecting

    def bodies(self) -> Sequence[tuple[str, str]]:
        """Return the id and the text of all that was ever stored, in order, repeats included."""
        if self.inner is None:
            return [(row.job_id, row.body) for row in self.world.db.queue.values()]
        return [(held.message.job_id, held.message.body.decode()) for held in self.inner.stored]


class Transport:
    """The port Queue of one process."""

    name = "sync-jobs"

    def __init__(self, broker: Broker, life: Life) -> None:
        self._broker, self._life = broker, life
        self.level: Level = broker.level
        self._queue = broker.inner or MemorySameTransactionQueue(broker.world.db)
        self.limits = Limits(messages=broker.world.mix.relay_batch, batch_bytes=256_000)

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        broker, world, life = self._broker, self._broker.world, self._life
        ids = [message.job_id for message in messages]
        broker.handed.append(Handed(ids, life, life.trouble_at_lease))
        if not world.calm and broker.inner is not None:
            for job_id in ids:
                if world.random.random() < world.mix.rejects and not self._knows(job_id):
                    broker.rejected[job_id] = "the queue does not like it"
            if world.random.random() < world.mix.queue_parts:
                await self._queue.publish(messages[: world.random.randint(0, len(messages))])
                raise life.cut_off("the queue's answer was lost")
        receipts = await self._queue.publish(messages)
        broker.look()
        return receipts

    async def depth(self) -> Depth:
        return await self._queue.depth()

    def _knows(self, job_id: str) -> bool:
        return any(stored == job_id for stored, _ in self._broker.bodies())


class SeenStore(MemoryStore):
    """The port Store; after each transaction others may look at the tables."""

    def __init__(self, db: MemoryDatabase, look: Callable[[], None]) -> None:
        super().__init__(db)
        self._look = look

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        appended = await super().append(commits, gate)
        self._look()
        return appended


class _TrueClock:
    """The broker's own clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> int:
        return self._world.now_ms

    async def sleep(self, ms: int) -> None:
        raise AssertionError
