"""Defects 1, 8, 9, 16 and 21: a job and its message exist together, and once."""

from contextlib import suppress

import msgspec
import pytest

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import JobCreated
from clearlift_engine.run import TickSettings
from tests.given import NOW_MS, ago, plain
from tests.known_defects.consumer import DiesAt, KilledError, messages
from tests.watched import Side, nobody
from tests.worker import Worker


async def test_01_second_run_before_the_consumer_is_done_repeats_nothing(worker: Worker) -> None:
    for name in ("a", "b", "c"):
        worker.seed.add_connection(name)

    for _ in range(2):
        await worker.tick_later()
        await worker.relay()

    assert len(worker.seed.rows("sync_jobs")) == 3
    assert [message.connection_id for message in await messages(worker)] == ["a", "b", "c"]


@pytest.mark.parametrize("side", ["before", "after"])
async def test_08_job_of_a_killed_tick_has_its_message_and_no_message_lacks_its_job(
    worker: Worker, side: Side
) -> None:
    worker.seed.add_connection("c")
    worker.watch = DiesAt("store.append", side, passes=0)
    with pytest.raises(KilledError):
        await worker.tick()
    jobs = [row["id"] for row in worker.seed.rows("sync_jobs")]

    worker.watch = nobody
    await worker.relay()

    assert len(jobs) == (1 if side == "after" else 0)
    assert [message.job_id for message in await messages(worker)] == jobs


async def test_09_queue_that_is_down_makes_no_orphan_jobs_and_loses_none(worker: Worker) -> None:
    worker.seed.add_connection("c")
    worker.queue = queue = MemoryQueue(FixedClock(NOW_MS))
    queue.down = True

    for _ in range(3):
        await worker.tick_later()
        with pytest.raises(UnavailableError):
            await worker.relay()
    queue.down = False
    await worker.relay()

    [job] = worker.seed.rows("sync_jobs")
    assert [held.message.job_id for held in queue.stored] == [job["id"]]


async def test_16_job_row_event_and_message_carry_one_window_to_the_letter(worker: Worker) -> None:
    worker.seed.add_connection("c", last_synced_at=plain(ago(hours=3)))

    await worker.tick()
    created = worker.last("c")
    await worker.relay()

    [row] = worker.seed.rows("sync_jobs")
    [message] = await messages(worker)
    assert isinstance(created, JobCreated)
    assert message == created.message
    window = msgspec.to_builtins(message.sync_window)
    assert msgspec.json.decode(row["metadata"])["sync_window"] == {"type": "incremental", **window}
    assert row["created_at"] == message.metadata.created_at


@pytest.mark.parametrize("call", ["store.append", "queue.publish", "store.waiting"])
async def test_21_whatever_a_killed_process_had_sent_is_not_sent_again(
    worker: Worker, call: str
) -> None:
    for number in range(30):
        worker.seed.add_connection(f"c{number:02}")
    worker.settings = TickSettings(batch=10)
    worker.watch = DiesAt(call, "after", passes=1)
    with suppress(KilledError):
        await worker.tick()
        await worker.relay(batch=10)

    worker.watch = nobody
    await worker.tick()
    await worker.relay(batch=10)

    sent = [message.connection_id for message in await messages(worker)]
    assert sent == [f"c{number:02}" for number in range(30)]
    assert len(worker.seed.rows("sync_jobs")) == 30
