"""Bugs to plant: each takes one safeguard away, and the simulation has to find each.

A bug is a handful of names in the worker's modules and what to put in their place; `planted` puts
them there, and puts everything back.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

import msgspec

from clearlift_adapters.credentials import StoredTokens
from clearlift_adapters.memory_rescue import MemoryRescue
from clearlift_adapters.stores.memory import MemoryDatabase, MemoryStore, store
from clearlift_engine import committer, decisions, judge, policy, refresh, relay, tick
from clearlift_engine.decisions import Decision
from clearlift_engine.events import SyncJobMessage
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Clause, iso
from clearlift_engine.ports import (
    Accepted,
    Appended,
    Commit,
    Message,
    Queue,
    Receipt,
    Refused,
    Store,
)
from clearlift_engine.relay import RelayPorts
from clearlift_engine.run import Run, TickPorts
from clearlift_engine.stream import Stream
from tests.simulation import history

Real = Callable[..., Any]  # A function of the worker.


class Patch(NamedTuple):
    """A name, and how to make what takes its place out of what is there."""

    where: object
    name: str
    make: Callable[[Any], object]


class TwoCommits:
    """A store that writes new tokens after the transition, in a transaction of their own."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  it stands in for a port
        return getattr(self._inner, name)

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        bare = [msgspec.structs.replace(commit, tokens=None) for commit in commits]
        appended = await self._inner.append(bare, gate)
        late = [
            Commit(commit.after, commit.after, (), tokens=commit.tokens)
            for commit in commits
            if commit.tokens is not None and commit.before.connection_id not in appended.lost
        ]
        if late:
            await self._inner.append(late)
        return appended


class Backwards:
    """A queue and a store that record a delivery first and make it second."""

    def __init__(self, inner_store: Store, inner_queue: Queue) -> None:
        self._store, self._queue = inner_store, inner_queue
        self._unsent: list[Message] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  it stands in for two ports
        return getattr(self._store, name, None) or getattr(self._queue, name)

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        if self._queue.level == "same_transaction":
            return await self._queue.publish(messages)
        self._unsent += messages
        return [Accepted() for _ in messages]

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        appended = await self._store.append(commits, gate)
        while self._unsent:
            await self._queue.publish([self._unsent.pop(0)])
        return appended


class Renaming:
    """A queue that gives a message another id each time it is sent."""

    def __init__(self, inner: Queue) -> None:
        self._inner, self._sent = inner, 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  it stands in for a port
        return getattr(self._inner, name)

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        renamed: list[Message] = []
        for message in messages:
            self._sent += 1
            new = f"{message.job_id}-{self._sent}"
            body = message.body.replace(message.job_id.encode(), new.encode())
            renamed.append(msgspec.structs.replace(message, job_id=new, body=body))
        return await self._inner.publish(renamed)


def _without_version_guard(real: Real) -> Real:
    def is_lost(self: MemoryStore, commit: Commit, open_job: object) -> object:
        db: MemoryDatabase = vars(self)["_db"]
        now = db.stream(commit.before.connection_id)
        return real(self, msgspec.structs.replace(commit, before=now), open_job)

    return is_lost


def _without_open_job(real: Real) -> Real:
    def is_lost(self: MemoryStore, commit: Commit, _: object) -> object:
        return real(self, commit, None)

    return is_lost


def _never_cleared(real: Real) -> Real:
    def job_created(*args: object, **kwargs: object) -> Decision:
        decision: Decision = real(*args, **kwargs)
        commit = msgspec.structs.replace(decision.commit, clears_error=False)
        return msgspec.structs.replace(decision, commit=commit)

    return job_created


def _without_clause(clause: Clause) -> Callable[[Mapping[Clause, object]], object]:
    """Return the due rule with one clause less."""

    def make(clauses: Mapping[Clause, object]) -> object:
        return {name: says_no for name, says_no in clauses.items() if name != clause}

    return make


def _stored_without_refresh_token(real: Real) -> Real:
    def keep(db: object, row: object, tokens: StoredTokens | None) -> object:
        kept = None if tokens is None else msgspec.structs.replace(tokens, refresh=None)
        return real(db, row, kept)

    return keep


def _fits_whatever_is_there(_: Real) -> Real:
    def fits(row: object, _tokens: object) -> bool:
        return row is not None

    return fits


def _with_another_window(real: Real) -> Real:
    def job_row(message: SyncJobMessage, run_id: str) -> object:
        window = msgspec.structs.replace(message.sync_window, end=iso(0))
        return real(msgspec.structs.replace(message, sync_window=window), run_id)

    return job_row


def _final(real: Real) -> Real:
    def failed(step: object, refused: Refused, **kwargs: object) -> object:
        return real(step, msgspec.structs.replace(refused, failure_class="permanent"), **kwargs)

    return failed


def _at_once(_: Real) -> Real:
    def reserve(gate: Gate, _: object, *, now_ms: int, wanted: int, **__: object) -> object:
        return gate, [now_ms] * wanted

    return reserve


def _ends_any(_: Real) -> Real:
    def ends(stream: Stream, *_: object) -> bool:
        return stream.state == "refreshing"

    return ends


def _dated_by_the_beginning(real: Real) -> Real:
    def decide(run: Run, conn: object, due: object, _: int) -> object:
        return real(run, conn, due, run.now_ms)

    return decide


def _says(answer: object) -> Callable[[Real], Real]:
    def make(_: Real) -> Real:
        async def said(*_args: object, **_kwargs: object) -> object:
            return answer

        return said

    return make


def _returns(answer: object) -> Callable[[Real], Real]:
    def make(_: Real) -> Real:
        def returned(*_args: object, **_kwargs: object) -> object:
            return answer

        return returned

    return make


def _is(value: object) -> Callable[[object], object]:
    def make(_: object) -> object:
        return value

    return make


def _ticks_in_two_commits(real: Real) -> Real:
    async def tick(ports: TickPorts, *args: object, **kwargs: object) -> object:
        return await real(
            ports._replace(store=cast("Store", TwoCommits(ports.store))), *args, **kwargs
        )

    return tick


def _relays_backwards(real: Real) -> Real:
    async def drain(ports: RelayPorts, **kwargs: object) -> object:
        both = Backwards(ports.store, ports.queue)
        store, queue = cast("Store", both), cast("Queue", both)
        return await real(ports._replace(store=store, queue=queue), **kwargs)

    return drain


def _relays_under_new_ids(real: Real) -> Real:
    async def drain(ports: RelayPorts, **kwargs: object) -> object:
        if ports.queue.level == "same_transaction":
            return await real(ports, **kwargs)
        queue = cast("Queue", Renaming(ports.queue))
        return await real(ports._replace(queue=queue), **kwargs)

    return drain


BUGS: Final[Mapping[str, Sequence[Patch]]] = {
    "no version guard": [Patch(MemoryStore, "_is_lost", _without_version_guard)],
    "two open jobs": [
        Patch(MemoryStore, "_is_lost", _without_open_job),
        Patch(policy, "_CLAUSES", _without_clause("open_job")),
    ],
    "rotated token dropped": [Patch(store, "_store", _stored_without_refresh_token)],
    "user's token overwritten": [Patch(store, "_fits", _fits_whatever_is_there)],
    "lease ignored": [
        Patch(module, "leased", _returns(answer=False)) for module in (policy, refresh, tick)
    ],
    "dated by when the tick began": [Patch(tick, "decide", _dated_by_the_beginning)],
    "lease judged by when the tick began": [
        Patch(module, "leased", _returns(answer=False)) for module in (refresh, tick)
    ],
    "retry_at ignored": [Patch(policy, "_CLAUSES", _without_clause("backoff"))],
    "interval ignored": [Patch(policy, "_CLAUSES", _without_clause("fresh"))],
    "dead grant asked again at once": [
        Patch(policy, "_CLAUSES", _without_clause("needs_reconnect"))
    ],
    "new id for each try": [Patch(history, "drain", _relays_under_new_ids)],
    "recorded before it is sent": [Patch(history, "drain", _relays_backwards)],
    "relay's lease ignored": [Patch(relay, "may_send", _says(answer=True))],
    "staged message not stored": [Patch(MemoryStore, "_enqueue", _returns(None))],
    "gate ignored": [Patch(refresh, "reserve", _at_once), Patch(judge, "reserve", _at_once)],
    "pause ignored": [Patch(refresh, "allowance", _returns(None))],
    "late answer dropped": [Patch(committer.Committer, "adopt", _says(answer=True))],
    "answers not kept in an outage": [Patch(MemoryRescue, "keep", _says(answer=None))],
    "tokens in a second transaction": [Patch(history, "tick", _ticks_in_two_commits)],
    "thawed worker asks again": [Patch(refresh, "LAST_SEND_MS", _is(10**12))],
    "rival's live claim ended": [Patch(committer, "_ends", _ends_any)],
    "passing failure taken for a dead grant": [Patch(judge, "refresh_failed", _final)],
    "window computed twice": [Patch(decisions, "job_row", _with_another_window)],
    "marked as failed for ever": [
        Patch(module, "job_created", _never_cleared) for module in (judge, refresh, tick)
    ],
}


@contextmanager
def planted(name: str) -> Generator[None]:
    """Have a bug in the worker for a while."""
    real = [(patch, getattr(patch.where, patch.name)) for patch in BUGS[name]]
    for patch, there in real:
        setattr(patch.where, patch.name, patch.make(there))
    try:
        yield
    finally:
        for patch, there in real:
            setattr(patch.where, patch.name, there)
