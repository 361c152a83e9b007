"""A tick that delivers too: into its own database, by the commit that creates the job."""

import msgspec

from clearlift_adapters.queues.memory import MemoryQueue
from clearlift_engine.delivery import with_delivery
from tests.given import NOW_MS
from tests.watched import Side
from tests.worker import Worker

TABLES = (("sync_jobs", "id"), ("queue_messages", "job_id"))
CREATED = ["fell_due", "job_created", "job_enqueued"]


def written(worker: Worker, connection_id: str) -> list[tuple[object, ...]]:
    rows = [row for row in worker.seed.rows("outbox") if row["connection_id"] == connection_id]
    return [(row["transition"], row["source"], row["target"], row["job_id"]) for row in rows]


async def test_job_and_message_come_in_one_transaction(worker: Worker) -> None:
    appends: list[str] = []

    async def watch(called: str, side: Side) -> None:
        if (called, side) == ("store.append", "before"):
            appends.append(called)

    worker.watch = watch
    for name in "ab":
        worker.seed.add_connection(name, platform="stripe")

    outcome = await worker.tick(delivers=True)

    assert (outcome.report.jobs_created, outcome.report.delivered) == (2, 2)
    assert len(appends) == 1
    assert [worker.life(name) for name in "ab"] == [CREATED, CREATED]
    ids = [[row[column] for row in worker.seed.rows(table)] for table, column in TABLES]
    assert ids[0] == ids[1]


async def test_message_is_the_one_in_the_log(worker: Worker) -> None:
    worker.seed.add_connection("é", platform="stripe", account_id='"\\')

    await worker.tick(delivers=True)

    [row] = worker.seed.rows("queue_messages")
    created = worker.seed.rows("outbox")[1]["data"]
    assert f'"message":{row["body"]},' in created


async def test_log_says_what_it_says_of_a_tick_and_a_relay(worker: Worker) -> None:
    worker.seed.add_connection("one by one", platform="stripe")
    await worker.tick()
    await worker.relay()
    worker.seed.add_connection("at once", platform="stripe")
    await worker.tick(delivers=True)

    apart, together = written(worker, "one by one"), written(worker, "at once")
    assert [row[:3] for row in apart] == [row[:3] for row in together]
    assert worker.last("at once") == msgspec.structs.replace(
        worker.last("one by one"), receipt=together[-1][3]
    )


async def test_refreshed_one_is_left_for_the_relay(worker: Worker) -> None:
    worker.expiring("c", platform="google")

    outcome = await worker.tick(delivers=True)
    relayed = await worker.relay()

    assert (outcome.report.refreshed, outcome.report.delivered, relayed.delivered) == (1, 0, 1)


async def test_what_the_queue_does_not_stage_is_left_for_the_relay(worker: Worker) -> None:
    queue = MemoryQueue(worker.clock)
    queue.rejecting = {"job-1": "not this one"}
    worker.queue = queue
    worker.seed.add_connection("c", platform="stripe")

    outcome = await worker.tick(delivers=True)

    assert (outcome.report.delivered, worker.state("c")) == (0, "job_created")
    assert await with_delivery(queue, [], at_ms=NOW_MS, run_id="run") == []
