"""What every Store promises about the rows that a commit changes beside the log: jobs, marks."""

import pytest

from clearlift_engine.policy import iso
from clearlift_engine.ports import Appended, Message
from tests.given import (
    DUE,
    ENQUEUED,
    NOW_MS,
    OPEN_SINCE,
    ago,
    commit,
    created,
    failed,
    job_commit,
    orphan_commit,
    plain,
    started,
    take,
)
from tests.seed import Row
from tests.world import World

OURS = "Token refresh failed: invalid_grant"


def marks(row: Row) -> tuple[str | None, str | None]:
    return row["sync_status"], row["sync_error"]


async def test_job_row_is_inserted_with_the_commit_that_creates_it(world: World) -> None:
    world.seed.add_connection("c")
    made = job_commit("c", "job 1")

    await take(world.store, made)

    row = world.seed.row("sync_jobs", "job 1")
    assert made.job is not None
    assert (row["organization_id"], row["connection_id"]) == ("org", "c")
    assert (row["status"], row["job_type"]) == ("pending", "full")
    assert (row["created_at"], row["metadata"]) == (iso(NOW_MS), made.job.metadata)
    assert (row["started_at"], row["completed_at"], row["records_synced"]) == (None, None, 0)


async def test_job_of_a_lost_stream_is_not_inserted(world: World) -> None:
    world.seed.add_connection("c")
    await take(world.store, commit("c", DUE, run_id="another"))

    appended = await world.store.append([job_commit("c")])

    assert appended.lost == {"c"}
    assert world.seed.rows("sync_jobs") == []


async def test_job_that_lost_to_a_whole_cycle_of_another_worker_is_not_inserted(
    world: World,
) -> None:
    world.seed.add_connection("c")
    await take(world.store, job_commit("c", "theirs", at_ms=NOW_MS - 1))

    appended = await world.store.append([job_commit("c", "ours")])

    assert appended.lost == {"c"}
    assert [row["id"] for row in world.seed.rows("sync_jobs")] == ["theirs"]


@pytest.mark.parametrize("status", ["pending", "running"])
async def test_job_is_lost_to_an_open_job_that_somebody_else_created_meanwhile(
    world: World, status: str
) -> None:
    world.seed.add_connection("c")
    world.seed.add_connection("free")
    world.seed.add_job("theirs", "c", status=status, created_at=iso(ago(hours=1)))

    appended = await world.store.append([job_commit("c", "ours"), job_commit("free", "other")])

    assert appended == Appended(lost=frozenset({"c"}))
    assert [row["id"] for row in world.seed.rows("sync_jobs")] == ["other", "theirs"]
    assert {row["connection_id"] for row in world.seed.rows("outbox")} == {"free"}


@pytest.mark.parametrize(
    ("columns", "lost"),
    [
        ({"created_at": plain(OPEN_SINCE)}, set[str]()),
        ({"created_at": plain(OPEN_SINCE + 1000)}, {"c"}),
        ({"created_at": iso(OPEN_SINCE + 1000)}, {"c"}),
        ({"created_at": iso(ago(days=9)), "started_at": plain(OPEN_SINCE + 1000)}, {"c"}),
        ({"created_at": iso(ago(days=9)), "started_at": iso(OPEN_SINCE)}, set[str]()),
        ({"created_at": None}, set[str]()),
        ({"created_at": "now"}, set[str]()),
        ({"created_at": iso(NOW_MS), "status": "completed"}, set[str]()),
        ({"created_at": iso(NOW_MS), "status": None}, set[str]()),
    ],
)
async def test_open_job_holds_until_it_gave_no_sign_of_life_since_the_limit(
    world: World, columns: dict[str, str | None], lost: set[str]
) -> None:
    world.seed.add_connection("c")
    world.seed.add_job("theirs", "c", **columns)

    appended = await world.store.append([job_commit("c")])

    assert appended.lost == lost


async def test_own_open_job_forbids_another_though_the_stream_is_where_it_was_seen(
    world: World,
) -> None:
    world.seed.add_connection("c")
    cycle = await take(world.store, job_commit("c", "first"))
    delivered = await take(world.store, commit(cycle, ENQUEUED))

    appended = await world.store.append([job_commit(delivered, "second", at_ms=NOW_MS + 1)])

    assert appended.lost == {"c"}
    assert [row["id"] for row in world.seed.rows("sync_jobs")] == ["first"]


async def test_commit_without_a_job_is_taken_whatever_jobs_are_open(world: World) -> None:
    world.seed.add_connection("c")
    world.seed.add_job("theirs", "c", created_at=iso(NOW_MS))

    assert await world.store.append([commit("c", DUE, started())]) == Appended()


async def test_job_of_a_connection_deleted_or_deactivated_meanwhile_is_lost(world: World) -> None:
    for name in ("deleted", "inactive", "unclear", "healthy"):
        world.seed.add_connection(name)
    world.seed.delete_connection("deleted")
    world.seed.update_connection("inactive", is_active=0)
    world.seed.update_connection("unclear", is_active=None)

    appended = await world.store.append(
        [job_commit(name, name) for name in ("deleted", "inactive", "unclear", "healthy")]
    )

    assert appended == Appended(lost=frozenset({"deleted", "inactive", "unclear"}))
    assert [row["id"] for row in world.seed.rows("sync_jobs")] == ["healthy"]


async def test_commit_that_a_constraint_refuses_is_told_apart_and_the_others_stand(
    world: World,
) -> None:
    for name in ("a", "b", "orphan", "c"):
        world.seed.add_connection(name)
    batch = [job_commit(name, name) for name in ("a", "b", "c")]
    batch.insert(2, orphan_commit("orphan"))

    appended = await world.store.append(batch)

    assert appended.lost == frozenset()
    assert list(appended.refused) == ["orphan"]
    assert appended.refused["orphan"]
    assert [row["id"] for row in world.seed.rows("sync_jobs")] == ["a", "b", "c"]
    assert {row["connection_id"] for row in world.seed.rows("outbox")} == {"a", "b", "c"}


async def test_job_id_that_exists_already_is_refused(world: World) -> None:
    world.seed.add_connection("c")
    world.seed.add_connection("other")
    world.seed.add_job("job", "other", status="completed")

    appended = await world.store.append([job_commit("c", "job")])

    assert list(appended.refused) == ["c"]
    assert world.seed.rows("outbox") == []


async def test_failure_is_marked_with_its_text(world: World) -> None:
    world.seed.add_connection("c", last_synced_at="2026-10-10 10:00:00")
    before = world.seed.row("platform_connections", "c")

    await take(world.store, commit("c", DUE, failed(retry_at=None), sync_error=OURS))

    after = world.seed.row("platform_connections", "c")
    assert marks(after) == ("failed", OURS)
    assert {**after, "sync_status": "pending", "sync_error": None} == before


async def test_mark_of_a_lost_commit_is_not_made(world: World) -> None:
    world.seed.add_connection("c")
    await take(world.store, commit("c", DUE, run_id="another"))

    await world.store.append([commit("c", DUE, failed(retry_at=None), sync_error=OURS)])

    assert marks(world.seed.row("platform_connections", "c")) == ("pending", None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("failed", OURS), ("pending", None)),
        (("failed", "Data sync failed: their own"), ("failed", "Data sync failed: their own")),
        (("failed", f"Seen: {OURS}"), ("failed", f"Seen: {OURS}")),
        (("failed", OURS.upper()), ("failed", OURS.upper())),
        (("failed", None), ("failed", None)),
        (("completed", OURS), ("completed", OURS)),
        ((None, OURS), (None, OURS)),
        (("pending", None), ("pending", None)),
    ],
)
async def test_only_our_own_mark_is_taken_back(
    world: World, before: tuple[str | None, str | None], after: tuple[str | None, str | None]
) -> None:
    world.seed.add_connection("c", sync_status=before[0], sync_error=before[1])

    await take(world.store, job_commit("c", clears_error=True))

    assert marks(world.seed.row("platform_connections", "c")) == after


async def test_mark_stays_unless_the_commit_says_that_it_goes(world: World) -> None:
    world.seed.add_connection("c", sync_status="failed", sync_error=OURS)

    await take(world.store, job_commit("c"))

    assert marks(world.seed.row("platform_connections", "c")) == ("failed", OURS)


async def test_outgoing_message_is_in_the_queue_with_the_commit_that_records_it(
    world: World,
) -> None:
    cycle = await take(world.store, commit("c", DUE, created("c", "job")))
    [waiting] = await world.store.waiting(limit=9)

    await take(world.store, commit(cycle, ENQUEUED, at_ms=NOW_MS + 5, outgoing=waiting.message))

    [row] = world.seed.rows("queue_messages")
    assert (row["job_id"], row["body"].encode()) == ("job", waiting.message.body)
    assert (row["enqueued_at"], row["visible_at"]) == (NOW_MS + 5, NOW_MS + 5)
    assert (row["attempts"], row["lease_id"], row["dead_at"]) == (0, None, None)


async def test_outgoing_message_of_a_lost_commit_is_not_stored(world: World) -> None:
    cycle = await take(world.store, commit("c", DUE, created("c")))
    await take(world.store, commit(cycle, ENQUEUED, run_id="another"))

    appended = await world.store.append([commit(cycle, ENQUEUED, outgoing=Message("job", b"{}"))])

    assert appended.lost == {"c"}
    assert world.seed.rows("queue_messages") == []


async def test_outgoing_message_that_is_there_already_stays_as_it_is(world: World) -> None:
    for name in ("a", "b"):
        cycle = await take(world.store, commit(name, DUE, created(name, "job")))
        message = Message("job", f'"{name}"'.encode())
        await take(world.store, commit(cycle, ENQUEUED, outgoing=message))

    assert [row["body"] for row in world.seed.rows("queue_messages")] == ['"a"']
