"""What every Archive promises: all there is, in one order, as of one moment."""

from collections.abc import Sequence

import pytest

from clearlift_adapters.stores.library import wal_is_safe
from clearlift_adapters.stores.paged import PagedArchive
from clearlift_engine.ports import History
from clearlift_engine.stream import Entry, Stream
from tests.given import (
    DUE,
    ENQUEUED,
    NOW_MS,
    ODD_IDS,
    commit,
    created,
    fold,
    job_commit,
    started,
    take,
)
from tests.world import World


class NotFoldedError(Exception):
    """What a fold raises in these tests."""


async def histories(world: World, *connection_ids: str) -> list[History]:
    asked = connection_ids or None
    return [history async for history in world.archive.histories(asked)]


async def test_histories_come_in_the_order_of_the_utf8_bytes_of_their_ids(world: World) -> None:
    ids = [*ODD_IDS, "", "a", "B", "b", "ä", "z", "zz", "Z", "\uffff", "\U00010000"]
    for connection_id in ids:
        await take(world.store, commit(connection_id, DUE))

    found = [history.connection_id for history in await histories(world)]

    assert found == sorted(ids, key=str.encode)
    assert found.index("\uffff") < found.index("\U00010000")  # UTF-16 has them the other way.


async def test_history_holds_all_rows_the_projection_and_the_jobs(world: World) -> None:
    world.seed.add_connection("c")
    cycle = job_commit("c", "ours")
    done = commit(cycle.after, ENQUEUED)
    await take(world.store, cycle)
    await take(world.store, commit("other", DUE))
    await take(world.store, done)
    signed = '{"created_by":"cron-worker"}'
    world.seed.add_job("unexplained", "c", status="failed", metadata=signed, created_at=None)

    history = next(found for found in await histories(world) if found.connection_id == "c")

    assert [entry.version for entry in history.entries] == [1, 2, 3]
    assert [entry.position for entry in history.entries] == [1, 2, 4]
    assert [entry.hash for entry in history.entries] == [
        draft.hash for draft in (*cycle.drafts, *done.drafts)
    ]
    assert (history.projection, history.position) == (done.after, 4)
    assert sorted(job.id for job in history.jobs) == ["ours", "unexplained"]


async def test_rows_of_the_log_are_read_to_the_letter(world: World) -> None:
    made = [commit(odd, DUE, created(odd), run_id=f"run {odd}") for odd in ODD_IDS]
    await take(world.store, *made)

    found = [entry for history in await histories(world) for entry in history.entries]

    drafts = [draft for commits in made for draft in commits.drafts]
    expected = [
        Entry(
            position,
            draft.connection_id,
            draft.version,
            draft.transition,
            draft.source,
            draft.target,
            draft.occurred_at,
            draft.run_id,
            draft.job_id,
            draft.data,
            draft.hash,
        )
        for position, draft in enumerate(drafts, start=1)
    ]
    assert sorted(found, key=lambda entry: entry.position) == expected


async def test_job_is_read_in_every_column(world: World) -> None:
    world.seed.add_connection("c")
    made = job_commit("c", "job")
    assert made.job is not None
    await take(world.store, made)

    [history] = await histories(world)

    [job] = history.jobs
    assert (job.id, job.organization_id, job.connection_id) == ("job", "org", "c")
    assert (job.status, job.job_type) == ("pending", "full")
    assert (job.created_at, job.metadata) == (made.job.created_at, made.job.metadata)


async def test_connection_that_only_jobs_know_has_a_history_without_a_stream(world: World) -> None:
    world.seed.add_connection("idle")
    world.seed.add_connection("theirs")
    world.seed.add_job("job", "theirs", metadata='{"created_by":"cron-worker"}')

    [history] = await histories(world)

    assert (history.connection_id, list(history.entries)) == ("theirs", [])
    assert (history.projection, history.position) == (None, None)
    assert [job.id for job in history.jobs] == ["job"]


async def test_history_says_whether_its_connection_still_exists(world: World) -> None:
    for name in ("deleted", "kept"):
        await take(world.store, commit(name, DUE))
    world.seed.add_connection("kept")

    found = {found.connection_id: found.connection_exists for found in await histories(world)}
    [alone] = await histories(world, "deleted")

    assert found == {"deleted": False, "kept": True}
    assert not alone.connection_exists


async def test_one_connection_is_read_alone(world: World) -> None:
    for name in ("a", "a'", "b", "a%", "A"):
        await take(world.store, commit(name, DUE))

    assert [found.connection_id for found in await histories(world, "a")] == ["a"]
    assert [found.connection_id for found in await histories(world, "b", "a%")] == ["a%", "b"]


async def test_connection_asked_for_twice_is_read_once_and_an_unknown_one_never(
    world: World,
) -> None:
    await take(world.store, commit("a", DUE))

    found = await histories(world, "a", "nobody", "a")

    assert [history.connection_id for history in found] == ["a"]


async def test_histories_are_as_of_one_moment(world: World) -> None:
    if isinstance(world.archive, PagedArchive):
        pytest.skip("D1 has no snapshot: each stream is of one moment, not all of them of the same")
    if not wal_is_safe():
        pytest.skip("without the write-ahead log, a reader keeps every writer waiting")
    for name in ("a", "b"):
        world.seed.add_connection(name)
        world.seed.add_job(f"job of {name}", name)

    found = list[str]()
    async for history in world.archive.histories():
        world.seed.add_job(f"late job of {history.connection_id}", "b")
        found += [job.id for job in history.jobs]

    assert found == ["job of a", "job of b"]


async def test_more_connections_than_any_page_are_read_once_each(world: World) -> None:
    ids = [f"c{number:04}" for number in range(1203)]
    await take(world.store, *(commit(name, DUE, started()) for name in ids))

    found = await histories(world)

    assert [history.connection_id for history in found] == ids
    assert all([entry.version for entry in history.entries] == [1, 2] for history in found)


async def test_archive_of_a_new_database_is_empty(world: World) -> None:
    assert await histories(world) == []
    assert await world.archive.positions() == (0, 0)
    assert await world.archive.rebuild(fold) == 0


async def test_positions_are_counted_and_the_highest_is_known(world: World) -> None:
    await take(world.store, commit("a", DUE, started()), commit("b", DUE))

    assert await world.archive.positions() == (3, 3)


async def test_highest_position_is_known_though_its_row_was_torn_out(world: World) -> None:
    await take(world.store, commit("a", DUE, started()), commit("b", DUE))

    world.seed.tear_out(3)

    assert await world.archive.positions() == (2, 3)


async def test_projection_whose_log_was_torn_out_has_a_history_still(world: World) -> None:
    moved = await take(world.store, commit("a", DUE, started()))

    world.seed.tear_out(1, 2)

    [history] = await histories(world)
    assert (history.connection_id, list(history.entries)) == ("a", [])
    assert (history.projection, history.position) == (moved, 2)
    assert await world.archive.rebuild(fold) == 0
    assert world.seed.rows("connection_state") == []


async def test_rebuilt_projection_is_the_same_to_the_byte(world: World) -> None:
    for odd in ODD_IDS:
        await take(world.store, commit(odd, DUE, started(), created(odd)))
    await take(world.store, commit("b", DUE, started(lease_until=NOW_MS)))
    before = world.seed.rows("connection_state")

    streams = await world.archive.rebuild(fold)

    assert streams == len(ODD_IDS) + 1
    assert world.seed.rows("connection_state") == before


async def test_rebuild_replaces_whatever_the_projection_said(world: World) -> None:
    await take(world.store, commit("a", DUE), commit("b", DUE))
    real = world.seed.rows("connection_state")
    await world.archive.rebuild(lambda entries: _astray(fold(entries)))
    astray = world.seed.rows("connection_state")

    await world.archive.rebuild(fold)

    assert [row["failures"] for row in astray] == [99, 99]
    assert world.seed.rows("connection_state") == real


async def test_rebuild_folds_each_stream_in_the_order_of_its_versions(world: World) -> None:
    await take(world.store, commit("a", DUE, started()), commit("b", DUE))
    folded = dict[str, list[int]]()

    def remember(entries: Sequence[Entry]) -> Stream:
        folded[entries[0].connection_id] = [entry.version for entry in entries]
        return fold(entries)

    await world.archive.rebuild(remember)

    assert folded == {"a": [1, 2], "b": [1]}


async def test_rebuild_changes_nothing_if_the_fold_raises(world: World) -> None:
    await take(world.store, commit("a", DUE), commit("b", DUE))
    before = world.seed.rows("connection_state")

    def stumble(entries: Sequence[Entry]) -> Stream:
        if entries[0].connection_id == "b":
            raise NotFoldedError
        return _astray(fold(entries))

    with pytest.raises(NotFoldedError):
        await world.archive.rebuild(stumble)

    assert world.seed.rows("connection_state") == before
    await take(world.store, commit("c", DUE))


def _astray(stream: Stream) -> Stream:
    return Stream(stream.connection_id, stream.state, stream.version, stream.hash, failures=99)
