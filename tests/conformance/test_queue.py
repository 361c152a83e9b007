"""What every Queue promises; what it makes of a repeat is asserted by the level it declares."""

from collections.abc import Sequence

import pytest

from clearlift_engine.errors import UnavailableError
from clearlift_engine.policy import MESSAGE_BYTES_MAX, MINUTE_MS
from clearlift_engine.ports import Accepted, Message, Rejected
from tests.broker import Broker


def messages(*job_ids: str) -> Sequence[Message]:
    return [Message(job_id, f'{{"job_id":"{job_id}"}}'.encode()) for job_id in job_ids]


def sized(job_id: str, size: int) -> Message:
    return Message(job_id, b'"' + b"x" * (size - 2) + b'"')


async def test_queue_names_itself_and_its_limits(broker: Broker) -> None:
    queue = broker.queue

    assert queue.name == "sync-jobs"
    assert queue.limits.messages >= 1
    assert queue.limits.batch_bytes >= MESSAGE_BYTES_MAX


async def test_messages_are_stored_once_each_in_their_order_and_with_their_bodies(
    broker: Broker,
) -> None:
    sent = messages("z", "a", "m")

    receipts = await broker.publish(sent)

    assert len(receipts) == 3
    assert await broker.stored() == sent


async def test_nothing_published_is_nothing_stored(broker: Broker) -> None:
    assert list(await broker.publish([])) == []
    assert await broker.stored() == []


async def test_full_batch_within_the_limits_is_taken_whole(broker: Broker) -> None:
    count = broker.queue.limits.messages
    sent = messages(*(f"job-{number:06}" for number in range(count)))

    receipts = await broker.publish(sent)

    assert not any(isinstance(receipt, Rejected) for receipt in receipts)
    assert await broker.stored() == sent


async def test_body_is_stored_to_the_byte(broker: Broker) -> None:
    body = '{"a":"é\\n\\"日本 \U0001f680 100 %","b":[1,null]}'.encode()

    await broker.publish([Message("job", body)])

    assert await broker.stored() == [Message("job", body)]


async def test_message_over_the_limit_is_rejected_and_the_others_are_not_concerned(
    broker: Broker,
) -> None:
    largest, larger = sized("largest", MESSAGE_BYTES_MAX), sized("larger", MESSAGE_BYTES_MAX + 1)
    small = messages("small")[0]

    receipts = await broker.publish([larger, small])
    receipts = [*receipts, *await broker.publish([largest])]

    rejected = [isinstance(receipt, Rejected) for receipt in receipts]
    assert rejected == [True, False, False]
    assert await broker.stored() == [small, largest]


async def test_repeat_is_treated_as_the_declared_level_says(broker: Broker) -> None:
    await broker.publish(messages("a", "b"))

    [again] = await broker.publish(messages("a"))

    stored = [message.job_id for message in await broker.stored()]
    match broker.queue.level:
        case "same_transaction":
            assert stored == ["a", "b"]
        case "windowless" | "windowed":
            assert stored == ["a", "b"]
            assert again == Accepted(already_there=True)
        case "at_least_once":
            assert stored == ["a", "b", "a"]
            assert isinstance(again, Accepted)
            assert not again.already_there


async def test_repeat_within_one_batch_is_treated_alike(broker: Broker) -> None:
    await broker.publish(messages("a", "a"))

    copies = 2 if broker.queue.level == "at_least_once" else 1
    assert [message.job_id for message in await broker.stored()] == ["a"] * copies


async def test_first_body_wins_where_repeats_are_known(broker: Broker) -> None:
    if broker.queue.level == "at_least_once":
        pytest.skip("this level does not know a repeat")
    await broker.publish([Message("a", b'"first"')])

    await broker.publish([Message("a", b'"second"')])

    assert await broker.stored() == [Message("a", b'"first"')]


async def test_repeat_is_remembered_after_the_window_by_all_but_windowed(broker: Broker) -> None:
    await broker.publish(messages("a"))
    broker.clock.now_ms += 10 * MINUTE_MS

    await broker.publish(messages("a"))

    copies = 2 if broker.queue.level in ("windowed", "at_least_once") else 1
    assert len(await broker.stored()) == copies


async def test_depth_grows_with_what_is_stored_and_tells_since_when(broker: Broker) -> None:
    empty = await broker.queue.depth()
    await broker.publish(messages("a", "b"))
    two = await broker.queue.depth()
    broker.clock.now_ms += MINUTE_MS
    await broker.publish(messages("c"))

    three = await broker.queue.depth()

    assert [each.messages for each in (empty, two, three)] == [0, 2, 3]
    assert empty.oldest_at is None
    assert three.oldest_at == two.oldest_at  # By the clock of the queue, which may be another.


async def test_queue_that_is_down_says_so_and_takes_the_same_messages_later(
    broker: Broker,
) -> None:
    if broker.faults is None:
        pytest.skip("the queue is in the database: it is down when that is")
    with broker.faults.down(), pytest.raises(UnavailableError):
        await broker.publish(messages("a"))

    await broker.publish(messages("a"))

    assert await broker.stored() == messages("a")


async def test_publishing_again_after_a_lost_answer_is_safe_at_every_level(
    broker: Broker,
) -> None:
    if broker.faults is None:
        pytest.skip("publishing does nothing that an answer could be lost to")
    with broker.faults.losing_answers(), pytest.raises(UnavailableError):
        await broker.publish(messages("a"))

    await broker.publish(messages("a"))

    stored = {message.job_id for message in await broker.stored()}
    assert stored == {"a"}


async def test_message_that_the_broker_rejects_for_itself_does_not_hold_the_others(
    broker: Broker,
) -> None:
    if broker.faults is None:
        pytest.skip("nothing but its size is wrong with a message here")
    with broker.faults.rejecting("b"):
        receipts = await broker.publish(messages("a", "b", "c"))

    assert [isinstance(receipt, Rejected) for receipt in receipts] == [False, True, False]
    assert await broker.stored() == messages("a", "c")
