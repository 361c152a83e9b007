"""Queues in plain dicts and lists: a broker that a test can make misbehave, and the embedded queue.

MemoryQueue stands for any broker, at any level of its promise about repeats.
MemorySameTransactionQueue is the embedded queue over a MemoryDatabase, MemoryInbox its consumer's
end.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_adapters.queues.inbox import (
    ATTEMPTS_MAX,
    RETENTION_MS,
    Delivery,
    StoredMessage,
)
from clearlift_adapters.stores.memory.tables import MemoryDatabase, QueueRow
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import Level
from clearlift_engine.policy import MESSAGE_BYTES_MAX, MINUTE_MS
from clearlift_engine.ports import (
    Accepted,
    Clock,
    Depth,
    Limits,
    Message,
    NewId,
    Receipt,
    Rejected,
    Staged,
)

NAME: Final = "sync-jobs"


class Held(msgspec.Struct, frozen=True):
    """A message as a MemoryQueue has it."""

    message: Message
    enqueued_at: int


class MemoryQueue:
    """The port Queue, as a broker of any level but same_transaction.

    `down` makes it refuse everything, `losing_answers` makes it accept that many more batches
    without anybody hearing of it, `rejecting` names the ids that it will never take, and why.
    """

    name: str = NAME
    limits: Limits = Limits(messages=100, batch_bytes=256_000)

    def __init__(
        self, clock: Clock, *, level: Level = "windowless", window_ms: int = 2 * MINUTE_MS
    ) -> None:
        assert level != "same_transaction", (
            "MemorySameTransactionQueue is the queue in the store's database"
        )
        self.level: Level = level
        self.down = False
        self.losing_answers = 0
        self.rejecting: dict[str, str] = {}
        self.stored: list[Held] = []  # Everything it ever stored, repeats included.
        self._last: dict[str, int] = {}  # When an id was stored.
        self._taken = 0
        self._clock = clock
        self._window_ms = window_ms

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        if self.down:
            raise UnavailableError("the queue is down")
        receipts = [self._publish(message) for message in messages]
        if self.losing_answers:
            self.losing_answers -= 1
            raise UnavailableError("the queue's answer was lost")
        return receipts

    async def depth(self) -> Depth:
        waiting = self.stored[self._taken :]
        return Depth(len(waiting), min((held.enqueued_at for held in waiting), default=None))

    def take(self) -> Sequence[Message]:
        """Return what came since the last call, as a consumer that never fails would."""
        taken, self._taken = self.stored[self._taken :], len(self.stored)
        return [held.message for held in taken]

    def _publish(self, message: Message) -> Receipt:
        reason = self.rejecting.get(message.job_id) or too_large(message)
        if reason is not None:
            return Rejected(reason)
        if self._remembers(message.job_id):
            return Accepted(already_there=True)
        now_ms = self._clock.now()
        self._last[message.job_id] = now_ms
        self.stored.append(Held(message, now_ms))
        return Accepted(receipt=str(len(self.stored)))

    def _remembers(self, job_id: str) -> bool:
        if job_id not in self._last or self.level == "at_least_once":
            return False
        age_ms = self._clock.now() - self._last[job_id]
        return self.level == "windowless" or age_ms < self._window_ms


class MemorySameTransactionQueue:
    """The port Queue, in the tables of a MemoryStore: the commit that records also stores."""

    name: str = NAME
    level: Level = "same_transaction"
    limits: Limits = Limits(messages=500, batch_bytes=500 * MESSAGE_BYTES_MAX)

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        reasons = [too_large(message) for message in messages]
        return [
            Staged(message) if reason is None else Rejected(reason)
            for message, reason in zip(messages, reasons, strict=True)
        ]

    async def depth(self) -> Depth:
        live = [row.enqueued_at for row in self._db.queue.values() if row.dead_at is None]
        return Depth(len(live), min(live, default=None), len(self._db.queue) - len(live))


class MemoryInbox:
    """The consumer's end of the embedded queue."""

    def __init__(self, db: MemoryDatabase, new_id: NewId) -> None:
        self._db = db
        self._new_id = new_id

    async def pull(self, limit: int, *, visibility_ms: int, now_ms: int) -> Sequence[Delivery]:
        self._age(now_ms)
        ready = [row for row in self._oldest_first(dead=False) if row.visible_at <= now_ms][:limit]
        for row in ready:
            row.attempts += 1
            row.visible_at = now_ms + visibility_ms
            row.lease_id = self._new_id()
        return [
            Delivery(row.job_id, row.body, row.attempts, row.lease_id or "", row.enqueued_at)
            for row in ready
        ]

    async def ack(self, lease_ids: Sequence[str]) -> int:
        leased = self._leased(lease_ids)
        for row in leased:
            del self._db.queue[row.job_id]
        return len(leased)

    async def retry(self, lease_ids: Sequence[str], *, delay_ms: int, now_ms: int) -> int:
        leased = self._leased(lease_ids)
        for row in leased:
            row.visible_at, row.lease_id = now_ms + delay_ms, None
        return len(leased)

    async def revive(self, job_ids: Sequence[str], *, delay_ms: int, now_ms: int) -> int:
        found = [self._db.queue[job_id] for job_id in set(job_ids) & self._db.queue.keys()]
        dead = [row for row in found if row.dead_at is not None]
        for row in dead:
            row.dead_at, row.attempts = None, 0
            row.enqueued_at, row.visible_at = now_ms, now_ms + delay_ms
        return len(dead)

    async def peek(self, *, limit: int, dead: bool = False) -> Sequence[StoredMessage]:
        return [
            StoredMessage(row.job_id, row.body, row.attempts, row.enqueued_at)
            for row in self._oldest_first(dead=dead)[:limit]
        ]

    def _oldest_first(self, *, dead: bool) -> Sequence[QueueRow]:
        rows = [row for row in self._db.queue.values() if (row.dead_at is not None) == dead]
        return sorted(rows, key=lambda row: row.enqueued_at)

    def _leased(self, lease_ids: Sequence[str]) -> Sequence[QueueRow]:
        wanted = set(lease_ids)
        return [row for row in self._db.queue.values() if row.lease_id in wanted]

    def _age(self, now_ms: int) -> None:
        """Drop what is past its retention, and bury what was delivered as often as may be."""
        kept: dict[str, QueueRow] = {}
        for job_id, row in self._db.queue.items():
            since = row.enqueued_at if row.dead_at is None else row.dead_at
            if since > now_ms - RETENTION_MS:
                kept[job_id] = row
        self._db.queue = kept
        for row in kept.values():
            if row.dead_at is None and row.attempts >= ATTEMPTS_MAX and row.visible_at <= now_ms:
                row.dead_at, row.lease_id = now_ms, None


def too_large(message: Message) -> str | None:
    """Return what is wrong with a message that no queue of ours takes."""
    size = len(message.body)
    if size <= MESSAGE_BYTES_MAX:
        return None
    return f"the message has {size} bytes; {MESSAGE_BYTES_MAX} are the most"
