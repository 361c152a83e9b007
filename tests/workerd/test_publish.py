"""What the adapter makes of Cloudflare Queues' answers, beyond what every queue promises."""

from collections.abc import AsyncIterator

import pytest

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.cloudflare.api import CloudflareApi
from clearlift_adapters.queues.cloudflare import CloudflareQueue
from clearlift_engine.events import JobEnqueued
from clearlift_engine.policy import MESSAGE_BYTES_MAX
from clearlift_engine.ports import Accepted, Message, Rejected
from tests.given import NOW_MS
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.faults import Fault
from tests.workerd.shift import shift


@pytest.fixture
async def queue(workerd: Cloudflare, stage: Stage) -> AsyncIterator[CloudflareQueue]:
    clock, token = FixedClock(NOW_MS), workerd.tokens.token
    async with CloudflareApi(
        token=token, base_url=workerd.base_url, clock=clock, deadline_s=20
    ) as api:
        yield CloudflareQueue(api, stage.account, stage.recorded)


def sized(job_id: str, size: int) -> Message:
    return Message(job_id, b'"' + job_id.encode() * ((size - 2) // len(job_id)) + b'"')


async def test_lost_answer_is_sent_again_and_the_log_counts_it(workerd: Cloudflare) -> None:
    async with shift(workerd) as worker:
        for connection_id in ("a", "b"):
            worker.seed.add_connection(connection_id, platform="stripe")
        await worker.tick()
        twice = [faults.reset(when="after").at("messages/batch", nth) for nth in (1, 2)]
        workerd.inject(*twice)

        report = await worker.relay()

        events = [worker.last(connection_id) for connection_id in ("a", "b")]
        receipts = [event.receipt for event in events if isinstance(event, JobEnqueued)]
        assert report.delivered == 2
        assert worker.copies() == {"a": 3, "b": 3}
        assert receipts == ["sent 3 times: the answer was lost"] * 2


@pytest.mark.parametrize("fault", [faults.overloaded(), faults.rate_limited(retry_after_s=2)])
async def test_batch_that_was_refused_unseen_is_sent_again_and_counts_once(
    workerd: Cloudflare, stage: Stage, queue: CloudflareQueue, fault: Fault
) -> None:
    workerd.inject(fault.at("messages/batch"))

    receipts = await queue.publish([Message("a", b'"a"')])

    assert receipts == [Accepted()]
    assert [each.body for each in workerd.deliveries(stage.recorded)] == ['"a"']


async def test_message_that_is_too_large_is_found_among_the_others(
    workerd: Cloudflare, stage: Stage, queue: CloudflareQueue
) -> None:
    sizes = {"a": 10, "b": MESSAGE_BYTES_MAX + 10, "c": 10, "d": 10, "e": 10}

    receipts = await queue.publish([sized(job_id, size) for job_id, size in sizes.items()])

    assert [isinstance(each, Rejected) for each in receipts] == [False, True, False, False, False]
    assert "Message size out of bounds (10204)" in str(receipts[1])
    delivered = [each.body[1] for each in workerd.deliveries(stage.recorded)]
    assert delivered == ["a", "c", "d", "e"]


async def test_batch_that_is_too_large_in_all_is_sent_in_parts(
    workerd: Cloudflare, stage: Stage, queue: CloudflareQueue
) -> None:
    messages = [sized(job_id, MESSAGE_BYTES_MAX) for job_id in "abc"]

    receipts = await queue.publish(messages)

    assert receipts == [Accepted()] * 3
    assert [each.body[1] for each in workerd.deliveries(stage.recorded)] == ["a", "b", "c"]
