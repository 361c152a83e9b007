"""relay at its limits: what it cannot read or record, how it waits, and what it says of that."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import SyncFailed
from clearlift_engine.policy import backoff
from clearlift_engine.ports import Appended, Commit, Limits, Store, Waiting
from clearlift_engine.relay import LEASE_MS, STANDBY_MS
from tests.given import NOW_MS, job_commit, take
from tests.watched import Side
from tests.worker import Worker


class Odd:
    """A store in which the log of some cannot be read, is ahead, or takes no more rows."""

    def __init__(
        self,
        store: Store,
        *,
        unreadable: Sequence[str] = (),
        ahead: Sequence[str] = (),
        full: Sequence[str] = (),
    ) -> None:
        self._store, self._unreadable, self._ahead, self._full = store, unreadable, ahead, full
        self.limits: list[int] = []

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for a port
        return getattr(self._store, method)

    async def waiting(self, *, limit: int) -> Sequence[Waiting]:
        self.limits.append(limit)
        return [
            msgspec.structs.replace(each, problem="no JSON")
            if each.stream.connection_id in self._unreadable
            else each
            for each in await self._store.waiting(limit=limit)
        ]

    async def append(self, commits: Sequence[Commit]) -> Appended:
        odd = {*self._ahead, *self._full}
        whole = [each for each in commits if each.before.connection_id not in odd]
        ids = {each.before.connection_id for each in commits}
        appended = await self._store.append(whole)
        refused = dict.fromkeys(ids & set(self._full), "full")
        return Appended(appended.lost | (ids & set(self._ahead)), {**appended.refused, **refused})


def with_odd(worker: Worker, **names: Sequence[str]) -> Odd:
    odd = Odd(worker.world.store, **names)
    worker.world = dataclasses.replace(worker.world, store=cast("Store", odd))
    return odd


def with_queue(worker: Worker, messages: int = 100) -> MemoryQueue:
    queue = MemoryQueue(worker.clock, level="at_least_once")
    queue.limits = Limits(messages=messages, batch_bytes=1_000_000)
    worker.queue = queue
    return queue


async def waiting(worker: Worker, *names: str) -> None:
    for name in names:
        worker.seed.add_connection(name)
        await take(worker.world.store, job_commit(name, f"job of {name}"))


def stored(queue: MemoryQueue) -> list[str]:
    return [held.message.job_id.removeprefix("job of ") for held in queue.stored]


def levels(worker: Worker, event: str) -> list[str]:
    return [said.level for said in worker.said if event in said.event]


def slow(worker: Worker, name: str, ms: int) -> list[int]:
    """Let each such call take its time; return a list of when they began."""
    began: list[int] = []

    async def watch(called: str, side: Side) -> None:
        if (called, side) == (name, "before"):
            began.append(worker.clock.now())
            await worker.clock.sleep(ms)

    worker.watch = watch
    return began


async def test_jobs_that_cannot_be_read_are_said_once_and_hold_up_nobody_behind_them(
    worker: Worker,
) -> None:
    queue = with_queue(worker)
    await waiting(worker, "x", "y", "z", "a", "b")
    with_odd(worker, unreadable="xyz")

    report = await worker.relay(batch=1)

    assert (stored(queue), report.delivered, report.pending) == (["a", "b"], 2, 3)
    assert levels(worker, "cannot be read") == ["error"] * 3
    assert worker.heard("cannot be read")[0] == {
        "connection_id": "x",
        "job_id": "job of x",
        "why": "no JSON",
    }


async def test_jobs_whose_log_is_ahead_are_sent_once_and_hold_up_nobody_behind_them(
    worker: Worker,
) -> None:
    queue = with_queue(worker)
    await waiting(worker, "x", "y", "a", "b")
    with_odd(worker, ahead="xy")

    report = await worker.relay(batch=1)

    assert (sorted(stored(queue)), report.pending) == (["a", "b", "x", "y"], 2)
    assert levels(worker, "another relay delivered it") == ["debug"] * 2
    said = worker.heard("cannot be read")
    assert [each["why"] for each in said] == ["its projection is not where its log is"] * 2


async def test_deliveries_that_cannot_be_recorded_hold_up_nobody_behind_them(
    worker: Worker,
) -> None:
    queue = with_queue(worker)
    await waiting(worker, "x", "y", "a", "b")
    with_odd(worker, full="xy")

    report = await worker.relay(batch=1)

    assert (stored(queue), report.delivered, report.pending) == (["x", "y", "a", "b"], 2, 2)
    assert worker.heard("cannot be recorded")[0] == {
        "connection_id": "x",
        "job_id": "job of x",
        "why": "full",
    }


async def test_relay_that_has_sent_the_last_batch_does_not_look_again(worker: Worker) -> None:
    await waiting(worker, "a", "b")
    odd = with_odd(worker)

    report = await worker.relay(batch=2)

    assert (report.delivered, len(odd.limits)) == (2, 1)


@pytest.mark.parametrize("names", ["", "a"], ids=["nothing waits", "something waits"])
async def test_relay_waits_for_another_only_while_something_waits(
    worker: Worker, names: str
) -> None:
    with_queue(worker)
    await waiting(worker, *names)
    until_ms = NOW_MS + STANDBY_MS // 2
    await worker.world.leases.hold("relay", "other", now_ms=NOW_MS, until_ms=until_ms)

    report = await worker.relay()

    assert worker.clock.now() - NOW_MS == report.duration_ms == len(names) * STANDBY_MS
    assert (report.delivered, report.pending) == (len(names), 0)
    assert levels(worker, "standing by") == ["debug"] * len(names)


async def test_no_lease_is_asked_for_where_the_queue_is_in_the_database(worker: Worker) -> None:
    await waiting(worker, "a")
    until_ms = NOW_MS + LEASE_MS
    await worker.world.leases.hold("relay", "other", now_ms=NOW_MS, until_ms=until_ms)

    report = await worker.relay()

    assert (report.delivered, report.duration_ms) == (1, 0)


@pytest.mark.parametrize(
    ("gather_ms", "times"),
    [
        (0, [500, 1_000, 1_500, 2_000, 2_500]),
        (1_000, [1_000, 2_000, 2_500]),
        (1_001, [1_500, 2_500]),
    ],
)
async def test_what_the_queue_takes_within_a_while_is_recorded_together(
    worker: Worker, gather_ms: int, times: Sequence[int]
) -> None:
    with_queue(worker, messages=1)
    await waiting(worker, *"abcde")
    worker.settings = msgspec.structs.replace(worker.settings, gather_ms=gather_ms)
    slow(worker, "queue.publish", 500)

    report = await worker.relay()

    recorded = [each["occurred_at"] - NOW_MS for each in worker.seed.rows("outbox")[10:]]
    assert sorted(set(recorded)) == times
    assert (report.delivered, report.pending) == (5, 0)


async def test_what_the_queue_took_before_it_went_down_is_recorded(worker: Worker) -> None:
    queue = with_queue(worker, messages=1)
    await waiting(worker, *"abc")
    worker.settings = msgspec.structs.replace(worker.settings, gather_ms=1_000)

    async def watch(name: str, side: Side) -> None:
        queue.down = (name, side) == ("queue.publish", "before") and len(queue.stored) == 2

    worker.watch = watch
    with pytest.raises(UnavailableError):
        await worker.relay()

    assert [worker.state(name) for name in "abc"] == ["enqueued", "enqueued", "job_created"]


@pytest.mark.parametrize("failures", [1, 4, 5])
async def test_deliveries_are_held_while_the_database_is_away(
    worker: Worker, failures: int
) -> None:
    with_queue(worker)
    await waiting(worker, "a")
    tried: list[int] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before"):
            tried.append(worker.clock.now() - NOW_MS)
            if len(tried) <= failures:
                raise UnavailableError("away")

    worker.watch = watch
    if failures < 5:
        assert (await worker.relay()).delivered == 1
    else:
        with pytest.raises(UnavailableError):
            await worker.relay()

    assert tried == [0, 1_000, 3_000, 7_000, 15_000][: failures + 1]
    assert worker.heard("deliveries are held") == [{"why": "away"}] * min(failures, 4)
    assert set(levels(worker, "deliveries are held")) == {"warning"}


async def test_message_that_the_queue_refuses_is_tried_again_when_a_first_failure_is(
    worker: Worker,
) -> None:
    queue = with_queue(worker)
    await waiting(worker, "bad", "good")
    queue.rejecting = {"job of bad": "too odd"}

    report = await worker.relay()

    assert (report.delivered, report.already_delivered, report.pending) == (1, 0, 0)
    event = worker.last("bad")
    assert isinstance(event, SyncFailed)
    assert event.retry_at == NOW_MS + backoff(1, 0.5)
    assert levels(worker, "the queue refuses") == ["warning"]
    assert worker.heard("the queue refuses")[0]["why"] == "too odd"
    assert levels(worker, "job delivered") == ["debug"]
