"""relay hands over what waits, in order, and nothing that goes wrong loses or doubles a job."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.delivery import within
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import JobEnqueued, Level, SyncFailed
from clearlift_engine.ports import Appended, Commit, Limits, Message, Store
from clearlift_engine.relay import LEASE_MS
from tests.given import NOW_MS, job_commit, take
from tests.watched import Side, once
from tests.worker import Worker

LEVELS: tuple[Level, ...] = ("windowless", "windowed", "at_least_once")


class Damaged:
    """A store whose database refuses every further row about one connection, as a trigger may."""

    def __init__(self, store: Store, connection_id: str) -> None:
        self._store, self._connection_id = store, connection_id

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for a port
        return getattr(self._store, method)

    async def append(self, commits: Sequence[Commit]) -> Appended:
        good = [each for each in commits if each.before.connection_id != self._connection_id]
        appended = await self._store.append(good)
        refused = {self._connection_id: "damaged"} if len(good) < len(commits) else {}
        return Appended(appended.lost, refused)


def with_queue(worker: Worker, level: Level = "at_least_once") -> MemoryQueue:
    """Give the worker a queue outside of its database."""
    queue = MemoryQueue(worker.clock, level=level)
    worker.queue = queue
    return queue


async def waiting(worker: Worker, *names: str) -> None:
    """Make a job for each."""
    for name in names:
        worker.seed.add_connection(name)
        await take(worker.world.store, job_commit(name, f"job of {name}"))


def stored(queue: MemoryQueue) -> list[str]:
    return [held.message.job_id for held in queue.stored]


def embedded(worker: Worker) -> list[str]:
    return [row["job_id"] for row in worker.seed.rows("queue_messages")]


async def test_jobs_go_to_the_queue_in_the_order_of_the_log(worker: Worker) -> None:
    queue = with_queue(worker)
    await waiting(worker, "z", "a", "m", "b")

    report = await worker.relay(batch=2)

    assert stored(queue) == ["job of z", "job of a", "job of m", "job of b"]
    assert (report.delivered, report.already_delivered, report.pending) == (4, 0, 0)
    assert {worker.state(name) for name in "zamb"} == {"enqueued"}


async def test_delivery_is_recorded_with_the_receipt_and_the_level(worker: Worker) -> None:
    with_queue(worker, "windowed")
    await waiting(worker, "c")

    await worker.relay()

    event = worker.last("c")
    assert isinstance(event, JobEnqueued)
    assert (event.queue, event.level, event.receipt) == ("sync-jobs", "windowed", "1")
    assert worker.seed.rows("outbox")[-1]["job_id"] == "job of c"


async def test_message_is_the_one_in_the_log_and_holds_no_token(worker: Worker) -> None:
    await waiting(worker, "c")

    await worker.relay()

    [row] = worker.seed.rows("queue_messages")
    created = msgspec.json.decode(worker.seed.rows("outbox")[1]["data"])
    assert msgspec.json.decode(row["body"]) == created["message"]
    assert "of c" not in row["body"].replace("job of c", "").replace("account of c", "")


async def test_nothing_waiting_is_an_empty_report(worker: Worker) -> None:
    report = await worker.relay()

    assert (report.delivered, report.already_delivered, report.pending) == (0, 0, 0)


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (Limits(messages=2, batch_bytes=1_000_000), [2, 2, 1]),
        (Limits(messages=100, batch_bytes=800), [2, 2, 1]),
        (Limits(messages=100, batch_bytes=1), [1] * 5),
        (Limits(messages=5, batch_bytes=1_000_000), [5]),
    ],
)
async def test_batch_is_cut_by_count_and_by_bytes(
    worker: Worker, limits: Limits, sizes: list[int]
) -> None:
    await waiting(worker, *"abcde")
    found = [
        msgspec.structs.replace(each, message=Message(each.message.job_id, b"x" * 400))
        for each in await worker.world.store.waiting(limit=10)
    ]

    parts = list(within(limits, found))

    assert [len(part) for part in parts] == sizes
    assert [each for part in parts for each in part] == found


async def test_message_that_the_queue_refuses_ends_as_failed_and_holds_up_nobody(
    worker: Worker,
) -> None:
    queue = with_queue(worker)
    await waiting(worker, "a", "bad", "z")
    queue.rejecting = {"job of bad": "too odd"}

    report = await worker.relay()

    assert stored(queue) == ["job of a", "job of z"]
    assert (report.delivered, report.pending) == (2, 0)
    event = worker.last("bad")
    assert isinstance(event, SyncFailed)
    assert (event.failure_class, event.message) == ("invalid", "too odd")
    assert worker.connection("bad")["sync_error"] == "Job could not be queued: too odd"


async def test_queue_that_is_down_raises_and_loses_nothing(worker: Worker) -> None:
    queue = with_queue(worker)
    await waiting(worker, "z", "a")
    queue.down = True

    with pytest.raises(UnavailableError):
        await worker.relay()
    queue.down = False
    await worker.relay()

    assert stored(queue) == ["job of z", "job of a"]
    assert worker.life("z") == ["fell_due", "job_created", "job_enqueued"]


@pytest.mark.parametrize("level", LEVELS)
async def test_lost_answer_of_the_queue_repeats_only_where_it_forgets(
    worker: Worker, level: Level
) -> None:
    queue = with_queue(worker, level)
    await waiting(worker, "c")
    queue.losing_answers = 1

    with pytest.raises(UnavailableError):
        await worker.relay()
    report = await worker.relay()

    again = level == "at_least_once"
    assert stored(queue) == ["job of c"] * (2 if again else 1)
    assert (report.delivered, report.already_delivered) == ((1, 0) if again else (0, 1))
    event = worker.last("c")
    assert isinstance(event, JobEnqueued)
    assert event.already_delivered is not again


async def test_two_relays_on_one_database_deliver_each_job_once(worker: Worker) -> None:
    await waiting(worker, *"abc")

    async def watch(name: str, side: Side) -> None:
        del name, side
        await asyncio.sleep(0)

    worker.watch = watch
    first, second = [asyncio.create_task(worker.relay()) for _ in range(2)]
    reports = [await first, await second]

    assert embedded(worker) == ["job of a", "job of b", "job of c"]
    assert sum(report.delivered for report in reports) == 3


@pytest.mark.parametrize("level", LEVELS)
async def test_two_relays_on_one_queue_take_turns(worker: Worker, level: Level) -> None:
    queue = with_queue(worker, level)
    await waiting(worker, *"abc")

    async def watch(name: str, side: Side) -> None:
        del name, side
        await asyncio.sleep(0)

    worker.watch = watch
    first, second = [asyncio.create_task(worker.relay(batch=1)) for _ in range(2)]
    reports = [await first, await second]

    assert stored(queue) == ["job of a", "job of b", "job of c"]
    assert sum(report.delivered for report in reports) == 3


async def test_relay_that_is_done_lets_the_next_one_begin_at_once(worker: Worker) -> None:
    queue = with_queue(worker)
    await waiting(worker, "a")
    await worker.relay()
    await waiting(worker, "b")

    await worker.relay()

    assert stored(queue) == ["job of a", "job of b"]
    assert worker.clock.now() == NOW_MS


async def test_lease_of_a_dead_relay_runs_out(worker: Worker) -> None:
    queue = with_queue(worker)
    await waiting(worker, "c")
    until_ms = NOW_MS + LEASE_MS
    await worker.world.leases.hold("relay", "dead", now_ms=NOW_MS, until_ms=until_ms)

    await worker.relay()

    assert stored(queue) == ["job of c"]
    assert worker.clock.now() in range(until_ms, until_ms + 2_000)


@pytest.mark.parametrize("level", LEVELS)
async def test_relay_that_slept_past_its_lease_does_no_harm_when_it_wakes(
    worker: Worker, level: Level
) -> None:
    queue = with_queue(worker, level)
    await waiting(worker, *"abc")

    async def rival() -> None:
        worker.clock.now_ms += LEASE_MS
        await worker.relay()

    worker.watch = once("queue.publish", "before", rival)
    report = await worker.relay()

    repeats = 2 if level == "at_least_once" else 1
    assert stored(queue) == ["job of a", "job of b", "job of c"] * repeats
    assert (report.delivered, report.already_delivered) == (0, 3)
    assert {len(worker.life(name)) for name in "abc"} == {3}


async def test_relay_that_wakes_up_after_its_lease_records_nothing_twice(worker: Worker) -> None:
    queue = with_queue(worker, "windowless")
    await waiting(worker, "c")

    async def rival() -> None:
        worker.clock.now_ms += LEASE_MS
        await worker.relay()

    worker.watch = once("queue.publish", "after", rival)
    await worker.relay()

    assert (stored(queue), len(worker.life("c"))) == (["job of c"], 3)


async def test_relay_that_is_told_to_stop_says_what_is_left(worker: Worker) -> None:
    await waiting(worker, *"abcde")

    report = await worker.relay(batch=2, should_stop=lambda: len(embedded(worker)) >= 2)

    assert (report.delivered, report.pending) == (2, 3)


async def test_delivery_that_cannot_be_recorded_is_not_repeated_for_ever(worker: Worker) -> None:
    queue = with_queue(worker)
    await waiting(worker, "good", "damaged")
    damaged = cast("Store", Damaged(worker.world.store, "damaged"))
    worker.world = dataclasses.replace(worker.world, store=damaged)

    report = await worker.relay()

    assert worker.state("good") == "enqueued"
    assert stored(queue).count("job of damaged") <= 2
    assert (report.delivered, report.pending) == (1, 1)
    assert worker.heard("cannot be recorded")
