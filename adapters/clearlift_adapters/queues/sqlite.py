"""The embedded queue: a table of the store's own database.

Publishing does nothing by itself: the message goes back to the relay as Staged, and the commit that
records `job_enqueued` stores it. So it is there exactly once, whatever crashes when. The consumer's
side is the one of Cloudflare Queues' pull consumers: a message that was pulled is hidden until its
visibility timeout, comes again if nobody acknowledges it, and becomes a dead letter after the third
retry; what is older than four days is dropped.
"""

from collections.abc import Sequence
from typing import Final

from clearlift_adapters.queues.inbox import (
    ATTEMPTS_MAX,
    RETENTION_MS,
    Delivery,
    StoredMessage,
)
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.sql import Database
from clearlift_engine.events import Level
from clearlift_engine.policy import MESSAGE_BYTES_MAX
from clearlift_engine.ports import Depth, Limits, Message, NewId, Receipt, Rejected, Staged

_SQL: Final = load("queue.sql")
_DEPTH: Final = bind(_SQL, "depth")
_EXPIRE: Final = bind(_SQL, "expire", "before")
_BURY: Final = bind(_SQL, "bury", "now", "attempts_max")
_LEASE: Final = bind(_SQL, "lease", "now", "until", "lease_prefix", "limit")
_LEASED: Final = bind(_SQL, "leased", "lease_prefix")
_ACK: Final = bind(_SQL, "ack", "lease_id")
_RETRY: Final = bind(_SQL, "retry", "lease_id", "visible_at")
_REVIVE: Final = bind(_SQL, "revive", "now", "visible_at", "job_id")
_PEEK: Final = bind(_SQL, "peek", "dead", "limit")


class SqliteQueue:
    """The port Queue, and the consumer's Inbox, on one SQLite file."""

    name: str = "sync-jobs"
    level: Level = "same_transaction"
    limits: Limits = Limits(messages=500, batch_bytes=500 * MESSAGE_BYTES_MAX)

    def __init__(self, db: Database, new_id: NewId) -> None:
        self._db, self._new_id = db, new_id

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        return [
            Staged(message)
            if len(message.body) <= MESSAGE_BYTES_MAX
            else Rejected(f"the message has {len(message.body)} bytes; {MESSAGE_BYTES_MAX} may be")
            for message in messages
        ]

    async def depth(self) -> Depth:
        [(messages, oldest_at, dead)] = await self._db.read(_DEPTH)
        return Depth(messages, oldest_at, dead)

    async def pull(self, limit: int, *, visibility_ms: int, now_ms: int) -> Sequence[Delivery]:
        """Lease up to `limit` messages, oldest first; each comes again unless acknowledged."""
        batch = self._new_id()
        await self._db.write(
            [
                (_EXPIRE, [(now_ms - RETENTION_MS,)]),
                (_BURY, [(now_ms, ATTEMPTS_MAX)]),
                (_LEASE, [(now_ms, now_ms + visibility_ms, batch, limit)]),
            ]
        )
        return [Delivery(*row) for row in await self._db.read(_LEASED, batch)]

    async def ack(self, lease_ids: Sequence[str]) -> int:
        """Remove delivered messages; a lease that has been given anew removes nothing."""
        [removed] = await self._db.write([(_ACK, [(lease_id,) for lease_id in lease_ids])])
        return removed

    async def retry(self, lease_ids: Sequence[str], *, delay_ms: int, now_ms: int) -> int:
        """Give messages back, to be delivered again after `delay_ms`."""
        rows = [(lease_id, now_ms + delay_ms) for lease_id in lease_ids]
        [returned] = await self._db.write([(_RETRY, rows)])
        return returned

    async def revive(self, job_ids: Sequence[str], *, delay_ms: int, now_ms: int) -> int:
        """Put dead letters back, as if they came now, to be delivered after `delay_ms`."""
        rows = [(now_ms, now_ms + delay_ms, job_id) for job_id in job_ids]
        [revived] = await self._db.write([(_REVIVE, rows)])
        return revived

    async def peek(self, *, limit: int, dead: bool = False) -> Sequence[StoredMessage]:
        """Return messages, or dead letters, as they lie, oldest first, without taking them."""
        return [StoredMessage(*row) for row in await self._db.read(_PEEK, int(dead), limit)]
