"""What lies in the database before the worker dies, and what must hold once another has run."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.events import Level, SyncFailed
from clearlift_engine.policy import iso
from clearlift_engine.refresh import LEASE_MS
from clearlift_engine.replay import replay
from tests.given import NOW_MS
from tests.worker import TICK_MS, Worker

LEVELS: Final[tuple[Level, ...]] = (
    "same_transaction",
    "windowless",
    "windowed",
    "at_least_once",
)
READY: Final = ("fresh", "stripe")
ROTATING: Final = ("t1", "t2")
EVERYBODY: Final = (*READY, "google", *ROTATING)


def set_scene(worker: Worker, level: Level) -> None:
    """Two tokens last, one has to be refreshed, two have to be and rotate."""
    worker.seed.add_connection("fresh")
    worker.expiring("stripe", platform="stripe")
    worker.expiring("google")
    for number, name in enumerate(ROTATING):
        worker.expiring(name, platform="tiktok", expires_at=iso(NOW_MS + number))
    worker.refresher.latency_ms = 250  # So that requests overlap.
    if level != "same_transaction":
        worker.queue = MemoryQueue(worker.clock, level=level, window_ms=2 * LEASE_MS)


async def tick_and_relay(worker: Worker) -> None:
    """Do what `tick --relay` does."""
    await worker.tick()
    await worker.relay()


async def recover(worker: Worker) -> None:
    """Run healthy processes, the first when every lease is over, until nothing is left to do."""
    for wait_ms in (LEASE_MS + 1, TICK_MS, TICK_MS, TICK_MS):
        worker.clock.now_ms += wait_ms
        await tick_and_relay(worker)


def messages(worker: Worker) -> Mapping[str, int]:
    """Return how often the queue holds each job."""
    if isinstance(worker.queue, MemoryQueue):
        return Counter(held.message.job_id for held in worker.queue.stored)
    return Counter(row["job_id"] for row in worker.seed.rows("queue_messages"))


def unrecorded(worker: Worker) -> int:
    """Return how many messages the queue has that no log knows of; some level may repeat them."""
    rows = worker.seed.rows("outbox")
    recorded = [row for row in rows if row["transition"] == "job_enqueued"]
    return sum(messages(worker).values()) - len(recorded)


def lost(worker: Worker) -> list[str]:
    """Return whose grant died with an answer that nobody got; replayed each exactly once."""
    found: list[str] = []
    for name in EVERYBODY:
        event = worker.last(name)
        if isinstance(event, SyncFailed):
            assert event.code == "rotation_lost", name
            found.append(name)
    return found


async def assert_whole(worker: Worker, *, repeats_max: int) -> None:
    """One job for each connection, its message, and no token spent beyond the one replay."""
    gone = lost(worker)
    assert set(gone) <= set(ROTATING)
    assert sorted(worker.jobs()) == sorted(set(EVERYBODY) - set(gone))
    assert {worker.state(name) for name in EVERYBODY} <= {"enqueued", "failed"}
    assert worker.marked() == gone

    job_ids = [row["id"] for row in worker.seed.rows("sync_jobs")]
    stored = messages(worker)
    assert sorted(stored) == sorted(job_ids)
    assert sum(stored.values()) - len(stored) <= repeats_max

    sent = Counter(call.token for call in worker.refresher.calls)
    assert all(times <= 2 for times in sent.values())
    for name in ROTATING:
        twice = sent[f"refresh of {name}"] == 2
        assert not twice or "refresh_released" in worker.life(name)
    assert (await replay(worker.world.archive)).violations == []
