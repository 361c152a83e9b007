"""Where each question to the database is a request, and they are counted: fewer, larger ones."""

import msgspec
import pytest

from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.committer import PATIENCE
from clearlift_engine.errors import ConfigurationError, UnavailableError
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import iso
from clearlift_engine.ports import Limits, Provider
from clearlift_engine.refresh import GROUP
from tests.given import NOW_MS, job_commit, take
from tests.watched import Side, fails, nobody
from tests.worker import Providers, Worker

GATHER_MS = 1_000


class Counts:
    """A watch that counts calls, and notes the commits that answers led to, by their time."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.commits: list[int] = []
        self.claims: list[int] = []  # How many refreshes were claimed before each look at the gate.

    async def __call__(self, name: str, side: Side) -> None:
        if (name, side) == ("store.gate", "before"):
            self.claims.append(len(self.started()))
        if (name, side) == ("store.append", "before") and self.worker.asked():
            self.commits.append(self.worker.clock.now() - NOW_MS)

    def started(self) -> list[str]:
        rows = self.worker.seed.rows("outbox")
        return [row["connection_id"] for row in rows if row["transition"] == "refresh_started"]


@pytest.fixture
def counts(worker: Worker) -> Counts:
    """Tell the worker to count requests, and count its calls."""
    worker.settings = msgspec.structs.replace(
        worker.settings, gather_ms=GATHER_MS, claims_max=4 * GROUP
    )
    counts = Counts(worker)
    worker.watch = counts
    return counts


async def test_lone_answer_waits_for_nobody(worker: Worker, counts: Counts) -> None:
    worker.expiring("c")

    await worker.tick()

    assert counts.commits == [0]
    assert worker.clock.now() == NOW_MS


async def test_answers_wait_for_the_others_that_are_under_way(
    worker: Worker, counts: Counts
) -> None:
    for number in range(GROUP):  # A tenth of a second apart.
        worker.expiring(f"c{number}")

    await worker.tick()

    assert len(worker.jobs()) == GROUP
    assert counts.commits == [2_000]


async def test_last_answer_does_not_wait_for_those_that_are_in_already(
    worker: Worker, counts: Counts
) -> None:
    slow = Provider("tiktok", Rate(1, 2_000), rotates=True)
    worker.refresher = Providers([slow], worker.clock)
    worker.expiring("a", platform="tiktok")
    worker.expiring("b", platform="tiktok")

    await worker.tick()

    assert counts.commits == [GATHER_MS, 2_000]


async def test_rotated_tokens_wait_a_second_at_most(worker: Worker, counts: Counts) -> None:
    for number in range(GROUP):
        worker.expiring(f"c{number}", platform="tiktok")

    await worker.tick()

    assert len(worker.jobs()) == GROUP
    assert counts.commits[0] == GATHER_MS
    assert len(counts.commits) == 2


async def test_no_answer_waits_for_ever(worker: Worker, counts: Counts) -> None:
    worker.expiring("quick")
    worker.expiring("slow", expires_at=iso(NOW_MS + 61_000))

    async def watch(name: str, side: Side) -> None:
        await counts(name, side)
        if (name, side) == ("refresher.refresh", "before") and worker.asked() == ["quick"]:
            await worker.clock.sleep(2 * PATIENCE * GATHER_MS)

    worker.watch = watch
    await worker.tick()

    assert sorted(worker.jobs()) == ["quick", "slow"]
    assert counts.commits[0] == PATIENCE * GATHER_MS


async def test_groups_grow_as_long_as_each_request_leaves_in_its_slot(
    worker: Worker, counts: Counts
) -> None:
    for number in range(200):
        worker.expiring(f"c{number}")

    await worker.tick()

    assert len(worker.jobs()) == 200
    assert counts.claims == [0, 20, 60, 140]


async def test_groups_stay_small_if_the_provider_is_slow(worker: Worker, counts: Counts) -> None:
    for number in range(100):
        worker.expiring(f"c{number}")
    worker.refresher.latency_ms = 2_500

    await worker.tick()

    assert counts.claims[:5] == [0, 20, 40, 60, 80]


async def test_groups_stay_small_where_requests_are_not_counted(worker: Worker) -> None:
    counts = Counts(worker)
    worker.watch = counts
    for number in range(100):
        worker.expiring(f"c{number}")

    await worker.tick()

    assert counts.claims == [0, 20, 40, 60, 80]


@pytest.mark.parametrize(
    ("rate", "claims"),
    [
        (Rate(10, 1), [0, 20, 60, 140, 240, 340]),  # And no more than a hundred.
        (Rate(1, 1), [0, 20, 60, 140, 240]),
        (Rate(1, 2), [0, 20, 60, 110]),
        (Rate(1, 5), [0, 20, 40]),
    ],
)
async def test_groups_grow_there_too_to_what_leaves_in_a_tenth_of_a_second(
    worker: Worker, rate: Rate, claims: list[int]
) -> None:
    worker = Worker(worker.world, [Provider("google", rate)])
    counts = worker.watch = Counts(worker)
    for number in range(350):
        worker.expiring(f"c{number}")

    await worker.tick()

    assert len(worker.jobs()) == 350
    assert counts.claims[: len(claims)] == claims


async def test_database_that_lets_us_in_no_more_is_not_waited_for_and_loses_no_token(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")

    worker.watch = fails("store.append", ConfigurationError("the token was revoked"), worker.asked)
    with pytest.raises(ConfigurationError):
        await worker.tick()
    ended_at = worker.clock.now()
    worker.watch = nobody
    await worker.tick_later()

    assert ended_at == NOW_MS
    assert worker.connection("c")["refresh_token_encrypted"] == "refresh-1"
    assert worker.jobs() == ["c"]


async def waiting(worker: Worker, *names: str) -> MemoryQueue:
    """Make a job for each, and a queue that takes two messages at a time."""
    for name in names:
        worker.seed.add_connection(name)
        await take(worker.world.store, job_commit(name, f"job of {name}"))
    queue = MemoryQueue(worker.clock, level="at_least_once")
    queue.limits = Limits(messages=2, batch_bytes=queue.limits.batch_bytes)
    worker.queue = queue
    return queue


async def records(worker: Worker) -> list[int]:
    """Relay, and return how many messages the queue had at each record of what it took."""
    queue, had = worker.queue, list[int]()
    assert isinstance(queue, MemoryQueue)

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("queue.publish", "after"):
            await worker.clock.sleep(400)
        if (name, side) == ("store.append", "before"):
            had.append(len(queue.stored))

    worker.watch = watch
    await worker.relay()
    return had


@pytest.mark.parametrize(("gather_ms", "at"), [(0, [2, 4, 6, 8, 9]), (GATHER_MS, [6, 9])])
async def test_what_the_queue_took_is_recorded_together(
    worker: Worker, gather_ms: int, at: list[int]
) -> None:
    worker.settings = msgspec.structs.replace(worker.settings, gather_ms=gather_ms)
    await waiting(worker, *"abcdefghi")

    assert await records(worker) == at

    assert {worker.state(name) for name in "abcdefghi"} == {"enqueued"}


async def test_what_was_taken_before_the_queue_went_down_is_recorded(
    worker: Worker, counts: Counts
) -> None:
    queue = await waiting(worker, *"abc")

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("queue.publish", "after"):
            queue.down = True

    worker.watch = watch
    with pytest.raises(UnavailableError):
        await worker.relay()

    assert [worker.state(name) for name in "abc"] == ["enqueued", "enqueued", "job_created"]


async def test_delivery_is_recorded_although_the_database_is_away_for_a_moment(
    worker: Worker,
) -> None:
    queue = await waiting(worker, "a")
    left = [3]

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before") and left[0]:
            left[0] -= 1
            raise UnavailableError("the database is away")

    worker.watch = watch
    report = await worker.relay()

    assert (report.delivered, report.pending) == (1, 0)
    assert len(queue.stored) == 1
    assert len(worker.heard("deliveries are held")) == 3
