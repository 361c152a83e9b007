"""Cloudflare Queues over its REST API.

At least once: the service has no deduplication and gives no message ids, so an answer that was lost
is sent again. `job_id` is in every message; the consumer's claim makes it one effect. Limits:
developers.cloudflare.com/queues/platform/limits.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_adapters.cloudflare.api import CloudflareApi
from clearlift_adapters.cloudflare.errors import SizeError
from clearlift_engine.events import Level
from clearlift_engine.ports import Accepted, Depth, Limits, Message, Receipt, Rejected

BATCH_MAX: Final = 100
BATCH_BYTES_MAX: Final = 256_000 - 16_000  # Less what the service adds to each message.


class _Outgoing(msgspec.Struct):
    body: msgspec.Raw
    content_type: str = "json"


class _Metrics(msgspec.Struct):
    backlog_count: int = 0
    oldest_message_timestamp_ms: int = 0


class CloudflareQueue:
    """The port Queue, on one queue of Cloudflare."""

    level: Level = "at_least_once"
    limits: Limits = Limits(BATCH_MAX, BATCH_BYTES_MAX)

    def __init__(self, api: CloudflareApi, account: str, queue: str) -> None:
        self._api, self._path = api, f"{account}/queues/{queue}"
        self.name = "sync-jobs"

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        """Send a batch; one that is refused for its size is halved, until it is one message's."""
        if not messages:
            return []
        try:
            copies = await self._send(messages)
        except SizeError as exc:
            if len(messages) == 1:
                return [Rejected(str(exc))]
            half = len(messages) // 2
            return [*await self.publish(messages[:half]), *await self.publish(messages[half:])]
        return [Accepted(_receipt(copies))] * len(messages)

    async def _send(self, messages: Sequence[Message]) -> int:
        """Return how many times the queue may have the messages now."""
        reply = await self._api.call(
            "POST",
            f"{self._path}/messages/batch",
            msgspec.Raw,  # Nothing in it is of use, and it may be missing.
            {"messages": [_Outgoing(msgspec.Raw(each.body)) for each in messages]},
            service="Queues",
            # May be stored twice, which this level says; dropped is what it must never be.
            repeatable=True,
        )
        return 1 + reply.doubts

    async def depth(self) -> Depth:
        reply = await self._api.call(
            "GET", f"{self._path}/metrics", _Metrics, service="Queues", repeatable=True
        )
        metrics = reply.result
        return Depth(metrics.backlog_count, metrics.oldest_message_timestamp_ms or None)


def _receipt(copies: int) -> str | None:
    """Return what the log keeps: nothing, or that the consumer may see a message again."""
    return None if copies == 1 else f"sent {copies} times: the answer was lost"
