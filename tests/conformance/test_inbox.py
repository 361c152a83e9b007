"""What every Inbox promises: the consumer's end of the embedded queue."""

from collections.abc import Sequence

from clearlift_adapters.queues.inbox import ATTEMPTS_MAX, RETENTION_MS, Delivery
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Message
from tests.given import DUE, ENQUEUED, NOW_MS, commit, created, take
from tests.world import World

VISIBILITY_MS = 30_000


async def send(world: World, *job_ids: str, at_ms: int = NOW_MS) -> None:
    """Put messages into the queue as the relay does, in order, a millisecond apart."""
    for number, job_id in enumerate(job_ids):
        cycle = commit(job_id, DUE, created(job_id, job_id), at_ms=at_ms + number)
        message = Message(job_id, f'{{"job_id":"{job_id}"}}'.encode())
        await take(world.store, cycle)
        await take(
            world.store, commit(cycle.after, ENQUEUED, at_ms=at_ms + number, outgoing=message)
        )


async def pull(world: World, now_ms: int, limit: int = 10) -> Sequence[Delivery]:
    return await world.inbox.pull(limit, visibility_ms=VISIBILITY_MS, now_ms=now_ms)


async def peeked(world: World, *, dead: bool = False) -> list[str]:
    return [letter.job_id for letter in await world.inbox.peek(limit=100, dead=dead)]


async def deliver_to_death(world: World) -> int:
    """Deliver what there is as often as may be; return when the last visibility timeout ends."""
    now_ms = NOW_MS
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert {delivery.attempts for delivery in await pull(world, now_ms)} == {attempt}
        now_ms += VISIBILITY_MS
    return now_ms


async def test_message_is_delivered_with_its_body_oldest_first(world: World) -> None:
    await send(world, "z", "a", "m")

    deliveries = await pull(world, NOW_MS + 2)

    assert [delivery.job_id for delivery in deliveries] == ["z", "a", "m"]
    assert deliveries[1].body == '{"job_id":"a"}'
    assert [delivery.enqueued_at for delivery in deliveries] == [NOW_MS, NOW_MS + 1, NOW_MS + 2]
    assert {delivery.attempts for delivery in deliveries} == {1}


async def test_no_more_are_delivered_than_asked_for(world: World) -> None:
    await send(world, "a", "b", "c")

    first, second = await pull(world, NOW_MS + 9, limit=2), await pull(world, NOW_MS + 9, limit=2)

    assert [delivery.job_id for delivery in first] == ["a", "b"]
    assert [delivery.job_id for delivery in second] == ["c"]


async def test_delivered_message_is_hidden_until_its_visibility_timeout(world: World) -> None:
    await send(world, "a")
    [first] = await pull(world, NOW_MS)

    just_before = await pull(world, NOW_MS + VISIBILITY_MS - 1)
    [again] = await pull(world, NOW_MS + VISIBILITY_MS)

    assert list(just_before) == []
    assert (first.attempts, again.attempts) == (1, 2)
    assert first.lease_id != again.lease_id
    assert (again.body, again.enqueued_at) == (first.body, first.enqueued_at)


async def test_every_delivery_has_a_lease_of_its_own(world: World) -> None:
    await send(world, "a", "b", "c")

    deliveries = await pull(world, NOW_MS + 9)

    assert len({delivery.lease_id for delivery in deliveries}) == 3


async def test_acknowledged_message_is_gone(world: World) -> None:
    await send(world, "a", "b")
    first, _ = await pull(world, NOW_MS + 9)

    removed = await world.inbox.ack([first.lease_id])

    assert removed == 1
    assert await peeked(world) == ["b"]
    assert [found.job_id for found in await pull(world, NOW_MS + HOUR_MS)] == ["b"]


async def test_acknowledging_with_an_outdated_or_unknown_lease_does_nothing(world: World) -> None:
    await send(world, "a")
    [outdated] = await pull(world, NOW_MS)
    [current] = await pull(world, NOW_MS + VISIBILITY_MS)

    removed = await world.inbox.ack([outdated.lease_id, "no such lease", ""])

    assert removed == 0
    assert await peeked(world) == ["a"]
    assert await world.inbox.ack([current.lease_id]) == 1


async def test_acknowledging_twice_removes_once(world: World) -> None:
    await send(world, "a")
    [delivery] = await pull(world, NOW_MS)

    assert await world.inbox.ack([delivery.lease_id]) == 1
    assert await world.inbox.ack([delivery.lease_id]) == 0
    assert await world.inbox.ack([]) == 0


async def test_message_given_back_comes_again_after_the_delay(world: World) -> None:
    await send(world, "a")
    [delivery] = await pull(world, NOW_MS)

    returned = await world.inbox.retry([delivery.lease_id], delay_ms=500, now_ms=NOW_MS + 10)

    just_before = await pull(world, NOW_MS + 509)
    [again] = await pull(world, NOW_MS + 510)
    assert (returned, list(just_before), again.attempts) == (1, [], 2)


async def test_message_given_back_is_no_longer_its_consumers(world: World) -> None:
    await send(world, "a")
    [delivery] = await pull(world, NOW_MS)
    await world.inbox.retry([delivery.lease_id], delay_ms=0, now_ms=NOW_MS)

    assert await world.inbox.ack([delivery.lease_id]) == 0
    assert await world.inbox.retry([delivery.lease_id], delay_ms=9, now_ms=NOW_MS) == 0
    assert len(await pull(world, NOW_MS)) == 1


async def test_message_is_dead_after_one_delivery_and_three_retries(world: World) -> None:
    await send(world, "a", at_ms=NOW_MS)

    ended_at = await deliver_to_death(world)

    assert list(await pull(world, ended_at - 1)) == []
    assert await peeked(world) == ["a"]
    assert list(await pull(world, ended_at)) == []
    assert (await peeked(world), await peeked(world, dead=True)) == ([], ["a"])


async def test_last_delivery_can_still_be_acknowledged(world: World) -> None:
    await send(world, "a")
    for attempt in range(1, ATTEMPTS_MAX):
        [delivery] = await pull(world, NOW_MS)
        assert delivery.attempts == attempt
        await world.inbox.retry([delivery.lease_id], delay_ms=0, now_ms=NOW_MS)
    [last] = await pull(world, NOW_MS)

    assert await world.inbox.ack([last.lease_id]) == 1
    assert (await peeked(world), await peeked(world, dead=True)) == ([], [])


async def test_message_given_back_for_the_fourth_time_is_not_delivered_again(
    world: World,
) -> None:
    await send(world, "a")
    for _ in range(ATTEMPTS_MAX):
        [delivery] = await pull(world, NOW_MS)
        await world.inbox.retry([delivery.lease_id], delay_ms=0, now_ms=NOW_MS)

    assert list(await pull(world, NOW_MS)) == []
    assert await peeked(world, dead=True) == ["a"]


async def test_dead_letter_is_out_of_its_consumers_hands(world: World) -> None:
    await send(world, "a")
    deliveries = list[Delivery]()
    for number in range(ATTEMPTS_MAX):
        deliveries += await pull(world, NOW_MS + number * VISIBILITY_MS)
    now_ms = NOW_MS + HOUR_MS
    await pull(world, now_ms)

    leases = [delivery.lease_id for delivery in deliveries]

    assert await world.inbox.ack(leases) == 0
    assert await world.inbox.retry(leases, delay_ms=0, now_ms=now_ms) == 0
    assert await peeked(world, dead=True) == ["a"]


async def test_dead_letter_that_is_put_back_begins_anew(world: World) -> None:
    await send(world, "a")
    await send(world, "b")
    now_ms = await deliver_to_death(world) + RETENTION_MS - 1
    await pull(world, now_ms - HOUR_MS)

    revived = await world.inbox.revive(["a", "no such job"], delay_ms=500, now_ms=now_ms)

    just_before = await pull(world, now_ms + 499)
    [delivery] = await pull(world, now_ms + 500)
    assert (revived, list(just_before)) == (1, [])
    assert (delivery.job_id, delivery.attempts, delivery.enqueued_at) == ("a", 1, now_ms)
    assert await world.inbox.ack([delivery.lease_id]) == 1
    assert await peeked(world, dead=True) == ["b"]


async def test_message_that_is_alive_cannot_be_put_back(world: World) -> None:
    await send(world, "a")
    [delivery] = await pull(world, NOW_MS)

    revived = await world.inbox.revive(["a"], delay_ms=0, now_ms=NOW_MS)

    assert revived == 0
    assert list(await pull(world, NOW_MS)) == []
    assert await world.inbox.ack([delivery.lease_id]) == 1


async def test_message_is_kept_for_four_days_and_no_longer(world: World) -> None:
    await send(world, "a")

    kept = await pull(world, NOW_MS + RETENTION_MS - 1)
    gone = await pull(world, NOW_MS + RETENTION_MS + VISIBILITY_MS)

    assert [delivery.job_id for delivery in kept] == ["a"]
    assert list(gone) == []
    assert (await peeked(world), await peeked(world, dead=True)) == ([], [])


async def test_dead_letter_is_kept_for_four_days_after_its_death(world: World) -> None:
    await send(world, "a")
    died_at = await deliver_to_death(world)
    await pull(world, died_at)

    await pull(world, died_at + RETENTION_MS - 1)
    kept = await peeked(world, dead=True)
    await pull(world, died_at + RETENTION_MS + 1)

    assert (kept, await peeked(world, dead=True)) == (["a"], [])


async def test_peeking_takes_nothing(world: World) -> None:
    await send(world, "a", "b", "c")

    [letter] = await world.inbox.peek(limit=1)

    assert (letter.job_id, letter.body) == ("a", '{"job_id":"a"}')
    assert (letter.attempts, letter.enqueued_at) == (0, NOW_MS)
    assert len(await pull(world, NOW_MS + 9)) == 3
    assert [letter.attempts for letter in await world.inbox.peek(limit=9)] == [1, 1, 1]


async def test_depth_counts_the_living_and_the_dead_and_knows_the_oldest(world: World) -> None:
    empty = await world.queue.depth()
    await send(world, "a", at_ms=NOW_MS)
    await pull(world, await deliver_to_death(world))
    await send(world, "b", "c", at_ms=NOW_MS + HOUR_MS)

    depth = await world.queue.depth()

    assert (empty.messages, empty.oldest_at, empty.dead) == (0, None, 0)
    assert (depth.messages, depth.oldest_at, depth.dead) == (2, NOW_MS + HOUR_MS, 1)
