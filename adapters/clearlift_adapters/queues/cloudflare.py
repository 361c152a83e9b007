"""Cloudflare Queues over its REST API.

At least once: the service has no deduplication and gives no message ids, so the receipt is none,
and an answer that was lost is sent again. `job_id` is in every message; the consumer's claim makes
it one effect. Limits: developers.cloudflare.com/queues/platform/limits.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_adapters.cloudflare.api import CloudflareApi
from clearlift_engine.events import Level
from clearlift_engine.policy import MESSAGE_BYTES_MAX
from clearlift_engine.ports import Accepted, Depth, Limits, Message, Receipt, Rejected

BATCH_MAX: Final = 100
BATCH_BYTES_MAX: Final = 256_000 - 16_000  # Less what the envelope of each message adds.


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

    def __init__(self, api: CloudflareApi, queue: str) -> None:
        self._api, self._path = api, f"queues/{queue}"
        self.name = "sync-jobs"

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        fitting = [each for each in messages if len(each.body) <= MESSAGE_BYTES_MAX]
        if fitting:
            body = {"messages": [_Outgoing(msgspec.Raw(each.body)) for each in fitting]}
            await self._api.call(
                "POST",
                f"{self._path}/messages/batch",
                body,
                service="Queues",
                # May be stored twice, which this level says; dropped is what it must never be.
                repeatable=True,
            )
        return [
            Accepted()
            if len(each.body) <= MESSAGE_BYTES_MAX
            else Rejected(f"the message has {len(each.body)} bytes; {MESSAGE_BYTES_MAX} may be")
            for each in messages
        ]

    async def depth(self) -> Depth:
        result = await self._api.call(
            "GET", f"{self._path}/metrics", service="Queues", repeatable=True
        )
        metrics = msgspec.json.decode(result, type=_Metrics)
        return Depth(metrics.backlog_count, metrics.oldest_message_timestamp_ms or None)
