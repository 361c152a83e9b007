"""What every Store promises about `append`: a stream moves from where it was seen or not."""

import asyncio

import msgspec

from clearlift_engine.ports import Appended
from clearlift_engine.stream import Stream
from tests.given import (
    DUE,
    ENQUEUED,
    NOW_MS,
    ODD_IDS,
    commit,
    created,
    failed,
    job_commit,
    started,
    take,
)
from tests.seed import Row
from tests.world import World


def columns(stream: Stream) -> Row:
    return msgspec.structs.asdict(stream)


async def test_commit_writes_its_rows_and_the_stream_after_them(world: World) -> None:
    made = commit("c", DUE, started(), failed(retry_at=NOW_MS, credentials="sent"))

    appended = await world.store.append([made])

    assert appended == Appended()
    assert world.seed.rows("outbox") == [
        {"position": number, **msgspec.structs.asdict(draft)}
        for number, draft in enumerate(made.drafts, start=1)
    ]
    assert world.seed.rows("connection_state") == [{**columns(made.after), "position": 3}]


async def test_positions_go_on_without_a_gap_in_the_order_of_the_batch(world: World) -> None:
    first, second = commit("z", DUE, started()), commit("a", DUE)

    await take(world.store, first, second)
    await take(world.store, commit(second.after, started()))

    rows = [(row["position"], row["connection_id"]) for row in world.seed.rows("outbox")]
    assert rows == [(1, "z"), (2, "z"), (3, "a"), (4, "a")]


async def test_lost_commit_leaves_no_gap_in_the_positions(world: World) -> None:
    first = commit("a", DUE, run_id="one")
    await take(world.store, first)

    await world.store.append([commit("a", DUE, run_id="two")])
    await take(world.store, commit("b", DUE))

    assert [row["position"] for row in world.seed.rows("outbox")] == [1, 2]


async def test_of_two_workers_that_saw_the_same_stream_one_loses(world: World) -> None:
    first, second = commit("c", DUE, run_id="one"), commit("c", DUE, run_id="two")
    await take(world.store, first)

    appended = await world.store.append([second])

    assert appended == Appended(lost=frozenset({"c"}))
    assert [row["run_id"] for row in world.seed.rows("outbox")] == ["one"]
    assert world.seed.rows("connection_state") == [{**columns(first.after), "position": 1}]


async def test_of_two_commits_at_once_exactly_one_is_taken(world: World) -> None:
    commits = [commit("c", DUE, run_id=run_id) for run_id in ("one", "two")]

    both = await asyncio.gather(*(world.store.append([made]) for made in commits))

    assert sorted(len(appended.lost) for appended in both) == [0, 1]
    assert len(world.seed.rows("outbox")) == 1


async def test_rest_of_the_batch_stands_when_one_stream_is_lost(world: World) -> None:
    await take(world.store, commit("lost", DUE, run_id="another"))

    appended = await world.store.append(
        [commit("a", DUE), commit("lost", DUE, started()), commit("b", DUE)]
    )

    assert appended == Appended(lost=frozenset({"lost"}))
    taken = [row["connection_id"] for row in world.seed.rows("outbox")]
    assert taken == ["lost", "a", "b"]


async def test_stream_seen_at_an_old_version_is_lost_though_that_once_was_right(
    world: World,
) -> None:
    old = await take(world.store, commit("c", DUE))
    await take(world.store, commit(old, started()))

    appended = await world.store.append([commit(old, failed(retry_at=None))])

    assert appended.lost == {"c"}


async def test_stream_seen_ahead_of_where_it_is_is_lost(world: World) -> None:
    unwritten = commit("c", DUE)

    appended = await world.store.append([commit(unwritten.after, started())])

    assert appended.lost == {"c"}
    assert world.seed.rows("outbox") == []


async def test_same_version_with_another_hash_is_another_stream(world: World) -> None:
    await take(world.store, commit("c", DUE, run_id="one"))
    imagined = commit("c", DUE, run_id="two").after

    appended = await world.store.append([commit(imagined, started())])

    assert appended.lost == {"c"}
    assert len(world.seed.rows("outbox")) == 1


async def test_commit_sent_again_after_a_lost_answer_counts_as_taken_and_is_not_made_twice(
    world: World,
) -> None:
    world.seed.add_connection("c")
    made = job_commit("c")
    await take(world.store, made)
    log, jobs = world.seed.rows("outbox"), world.seed.rows("sync_jobs")

    appended = await world.store.append([made])

    assert appended == Appended()
    assert (world.seed.rows("outbox"), world.seed.rows("sync_jobs")) == (log, jobs)


async def test_empty_batch_changes_nothing(world: World) -> None:
    assert await world.store.append([]) == Appended()
    assert world.seed.rows("outbox") == []


async def test_stream_outlives_its_connection(world: World) -> None:
    world.seed.add_connection("c")
    cycle = await take(world.store, job_commit("c"))
    world.seed.delete_connection("c")

    after = await take(world.store, commit(cycle, ENQUEUED))

    assert after.state == "enqueued"


async def test_batch_of_a_thousand_is_one_batch(world: World) -> None:
    batch = [commit(f"c{number}", DUE, created(f"c{number}")) for number in range(1000)]

    appended = await world.store.append(batch)

    assert appended == Appended()
    assert len(world.seed.rows("outbox")) == 2000
    assert len(world.seed.rows("connection_state")) == 1000


async def test_ids_and_texts_are_stored_to_the_letter(world: World) -> None:
    batch = [commit(odd, DUE, created(odd), run_id=f"run {odd}") for odd in ODD_IDS]

    await take(world.store, *batch)

    stored = [
        (row["connection_id"], row["run_id"], row["data"]) for row in world.seed.rows("outbox")
    ]
    assert stored == [
        (draft.connection_id, draft.run_id, draft.data) for made in batch for draft in made.drafts
    ]
