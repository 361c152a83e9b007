"""What every Store promises about `waiting`: in the log's order, until they are delivered."""

import msgspec

from clearlift_engine.events import SyncJobMessage
from tests.given import DUE, ENQUEUED, NOW_MS, ODD_IDS, commit, created, failed, job_commit, take
from tests.world import World


async def jobs(world: World, limit: int = 100) -> list[str]:
    return [waiting.message.job_id for waiting in await world.store.waiting(limit=limit)]


async def test_jobs_wait_in_the_order_of_the_log_and_not_of_their_ids(world: World) -> None:
    for name in ("m", "z", "a"):
        await take(world.store, commit(name, DUE, created(name, f"job of {name}")))

    assert await jobs(world) == ["job of m", "job of z", "job of a"]
    assert await jobs(world, limit=2) == ["job of m", "job of z"]


async def test_job_waits_with_its_stream_and_its_whole_message(world: World) -> None:
    event = created("c", "job")
    moved = await take(world.store, commit("c", DUE, event))

    [waiting] = await world.store.waiting(limit=9)

    assert waiting.stream == moved
    assert waiting.message.job_id == "job"
    assert msgspec.json.decode(waiting.message.body, type=SyncJobMessage) == event.message
    assert waiting.message.body == msgspec.json.encode(event.message)


async def test_delivered_job_waits_no_more(world: World) -> None:
    first = await take(world.store, commit("a", DUE, created("a", "first")))
    await take(world.store, commit("b", DUE, created("b", "second")))

    await take(world.store, commit(first, ENQUEUED))

    assert await jobs(world) == ["second"]


async def test_job_that_the_queue_rejected_waits_no_more(world: World) -> None:
    cycle = await take(world.store, commit("c", DUE, created("c")))

    await take(world.store, commit(cycle, failed(retry_at=None)))

    assert await jobs(world) == []


async def test_only_the_newest_cycle_waits(world: World) -> None:
    cycle = await take(world.store, commit("c", DUE, created("c", "old"), ENQUEUED))
    await take(world.store, commit(cycle, DUE, created("c", "new"), at_ms=NOW_MS + 1))

    assert await jobs(world) == ["new"]


async def test_job_of_a_connection_deleted_or_deactivated_meanwhile_still_waits(
    world: World,
) -> None:
    for name in ("deleted", "inactive"):
        world.seed.add_connection(name)
        await take(world.store, job_commit(name, name))

    world.seed.delete_connection("deleted")
    world.seed.update_connection("inactive", is_active=0)

    assert await jobs(world) == ["deleted", "inactive"]


async def test_nothing_waits_in_a_new_database(world: World) -> None:
    world.seed.add_connection("c")

    assert await jobs(world) == []


async def test_message_carries_any_text(world: World) -> None:
    for odd in ODD_IDS:
        await take(world.store, commit(odd, DUE, created(odd, f"job of {odd}")))

    found = await world.store.waiting(limit=100)

    messages = [msgspec.json.decode(waiting.message.body) for waiting in found]
    assert [message["connection_id"] for message in messages] == list(ODD_IDS)
