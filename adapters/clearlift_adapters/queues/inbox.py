"""The consumer's side of the embedded queue, after the pull consumers of Cloudflare Queues."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

ATTEMPTS_MAX: Final = 4  # One delivery and three retries; then it is a dead letter.
RETENTION_MS: Final = 4 * 24 * 60 * 60 * 1000


class Delivery(msgspec.Struct, frozen=True):
    """A message on its way to a consumer; `lease_id` changes with each delivery."""

    job_id: str
    body: str
    attempts: int
    lease_id: str
    enqueued_at: int


class StoredMessage(msgspec.Struct, frozen=True):
    """A message as it lies in the queue."""

    job_id: str
    body: str
    attempts: int
    enqueued_at: int


class Inbox(Protocol):
    """What a consumer does with the queue. Times are milliseconds since 1970."""

    async def pull(self, limit: int, *, visibility_ms: int, now_ms: int) -> Sequence[Delivery]:
        """Lease up to `limit` messages, oldest first; each comes again unless acknowledged."""
        ...

    async def ack(self, lease_ids: Sequence[str]) -> int:
        """Remove delivered messages; a lease that has been given anew removes nothing."""
        ...

    async def retry(self, lease_ids: Sequence[str], *, delay_ms: int, now_ms: int) -> int:
        """Give messages back, to be delivered again after `delay_ms`."""
        ...

    async def revive(self, job_ids: Sequence[str], *, delay_ms: int, now_ms: int) -> int:
        """Put dead letters back, as if they came now, to be delivered after `delay_ms`."""
        ...

    async def peek(self, *, limit: int, dead: bool = False) -> Sequence[StoredMessage]:
        """Return messages, or dead letters, as they lie, oldest first, without taking them."""
        ...
