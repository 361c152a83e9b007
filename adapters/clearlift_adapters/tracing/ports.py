"""The ports of tick and relay with a span around each question to a database, provider or queue.

The refreshes of one provider are one span, from the first request to the last answer: there may be
thousands of them, and they overlap.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from clearlift_engine.events import Level
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Candidate, Schedule
from clearlift_engine.ports import (
    Appended,
    Commit,
    Depth,
    Limits,
    Message,
    Plan,
    Provider,
    Queue,
    Receipt,
    Refreshed,
    Refused,
    SealedCredentials,
    SealedTokens,
    Store,
    TokenRefresher,
    Waiting,
)

_CLAIM: Final = "refresh_started"

Attributes = Mapping[str, str | int]


class Span(Protocol):
    """Something that takes its time, while it does."""

    def set_attribute(self, key: str, value: str | int) -> None: ...


class Trace(Protocol):
    """The spans of one run."""

    def child(self, name: str) -> AbstractContextManager[Span]:
        """Return a span that lasts as long as the block."""
        ...

    def add(self, name: str, began_ns: int, ended_ns: int, attributes: Attributes) -> None:
        """Add a span that is over."""
        ...


class TracedStore:
    """The port Store. A commit that claims refreshes is a span of another name."""

    def __init__(self, store: Store, trace: Trace) -> None:
        self._store, self._trace = store, trace

    async def due(
        self, *, now_ms: int, schedule: Schedule, limit: int, without: Collection[str] = ()
    ) -> Plan:
        with self._trace.child("find due") as span:
            plan = await self._store.due(
                now_ms=now_ms, schedule=schedule, limit=limit, without=without
            )
            span.set_attribute("clearlift.ready", len(plan.ready))
            span.set_attribute("clearlift.expiring", sum(map(len, plan.expiring.values())))
            return plan

    async def candidates(self, refs: Sequence[int]) -> Sequence[Candidate]:
        with self._trace.child("read connections") as span:
            span.set_attribute("clearlift.connections", len(refs))
            return await self._store.candidates(refs)

    async def find(self, connection_ids: Sequence[str]) -> Sequence[Candidate]:
        with self._trace.child("read connections") as span:
            span.set_attribute("clearlift.connections", len(connection_ids))
            return await self._store.find(connection_ids)

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        claims = any(draft.transition == _CLAIM for each in commits for draft in each.drafts)
        with self._trace.child("claim" if claims else "commit") as span:
            appended = await self._store.append(commits, gate)
            span.set_attribute("clearlift.connections", len(commits))
            span.set_attribute("clearlift.jobs", sum(each.job is not None for each in commits))
            span.set_attribute("clearlift.lost", len(appended.lost))
            span.set_attribute("clearlift.refused", len(appended.refused))
            return appended

    async def gate(self, provider: str) -> Gate:
        with self._trace.child("read gate") as span:
            span.set_attribute("clearlift.provider", provider)
            return await self._store.gate(provider)

    async def waiting(self, *, limit: int) -> Sequence[Waiting]:
        with self._trace.child("read outbox") as span:
            found = await self._store.waiting(limit=limit)
            span.set_attribute("clearlift.jobs", len(found))
            return found


class _Requests:
    """What one provider was asked so far."""

    def __init__(self, began_ns: int) -> None:
        self.began_ns = self.ended_ns = began_ns
        self.outcomes: dict[str, int] = {}
        self.longest_ms = 0

    def add(self, outcome: Refreshed | Refused, ended_ns: int) -> None:
        word = outcome.failure_class if isinstance(outcome, Refused) else "refreshed"
        self.outcomes[word] = self.outcomes.get(word, 0) + 1
        self.longest_ms = max(self.longest_ms, outcome.latency_ms)
        self.ended_ns = max(self.ended_ns, ended_ns)


class TracedRefresher:
    """The port TokenRefresher; `finish` adds its spans."""

    def __init__(self, refresher: TokenRefresher, trace: Trace) -> None:
        self._refresher, self._trace = refresher, trace
        self._asked: dict[str, _Requests] = {}

    @property
    def providers(self) -> Mapping[str, Provider]:
        return self._refresher.providers

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        asked = self._asked.setdefault(platform, _Requests(time.time_ns()))
        outcome = await self._refresher.refresh(platform, credentials)
        asked.add(outcome, time.time_ns())
        return outcome

    def rebase(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        return self._refresher.rebase(platform, tokens, stored)

    def prepare(self) -> None:
        self._refresher.prepare()

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        return self._refresher.opens_any(sample)

    def finish(self) -> None:
        """Add a span for each provider that was asked."""
        for platform, asked in self._asked.items():
            counts = {f"clearlift.{word}": number for word, number in asked.outcomes.items()}
            self._trace.add(
                f"refresh {platform}",
                asked.began_ns,
                asked.ended_ns,
                {
                    "clearlift.provider": platform,
                    "clearlift.requests": sum(asked.outcomes.values()),
                    "clearlift.longest_ms": asked.longest_ms,
                    **counts,
                },
            )


class TracedQueue:
    """The port Queue."""

    def __init__(self, queue: Queue, trace: Trace) -> None:
        self._queue, self._trace = queue, trace

    @property
    def name(self) -> str:
        return self._queue.name

    @property
    def level(self) -> Level:
        return self._queue.level

    @property
    def limits(self) -> Limits:
        return self._queue.limits

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        with self._trace.child("deliver") as span:
            span.set_attribute("clearlift.queue", self._queue.name)
            span.set_attribute("clearlift.messages", len(messages))
            return await self._queue.publish(messages)

    async def depth(self) -> Depth:
        return await self._queue.depth()
