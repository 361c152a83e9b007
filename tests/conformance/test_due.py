"""What every Store promises about `due`: nothing that is due is left out, and the order is fair."""

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from clearlift_adapters.stores.sqlite import SqliteStore
from clearlift_engine.policy import Schedule, expires_within, iso
from tests.conformance.crowd import crowd
from tests.given import (
    DUE,
    ENQUEUED,
    NOW_MS,
    SCHEDULE,
    ago,
    candidates,
    commit,
    created,
    due,
    failed,
    ids,
    job_commit,
    plain,
    started,
    take,
)
from tests.world import World, memory_world


async def test_both_timestamp_formats_in_one_column_are_times_and_not_texts(world: World) -> None:
    overdue, fresh = ago(hours=1, seconds=1), ago(minutes=59)
    world.seed.add_connection("plain overdue", last_synced_at=plain(overdue))
    world.seed.add_connection("iso overdue", last_synced_at=iso(overdue))
    world.seed.add_connection("plain fresh", last_synced_at=plain(fresh))
    world.seed.add_connection("iso fresh", last_synced_at=iso(fresh))

    found = await due(world.store)

    assert sorted(found) == ["iso overdue", "plain overdue"]


async def test_interval_must_have_passed_and_not_only_just_ended(world: World) -> None:
    world.seed.add_connection("c", last_synced_at=iso(ago(hours=1)))

    at_the_end = await due(world.store)
    a_second_later = await due(world.store, now_ms=NOW_MS + 1000)

    assert (at_the_end, a_second_later) == ([], ["c"])


@pytest.mark.parametrize("raw", [None, "", "yesterday", "now", "2460000.5", "2026-13-01"])
async def test_what_is_no_time_counts_as_never_synced(world: World, raw: str | None) -> None:
    world.seed.add_connection("odd", last_synced_at=raw)
    world.seed.add_connection("synced long ago", last_synced_at="2001-01-01 00:00:00")

    assert await due(world.store) == ["odd", "synced long ago"]


async def test_sync_in_the_future_is_not_due(world: World) -> None:
    world.seed.add_connection("c", last_synced_at=iso(NOW_MS + 1000))

    assert await due(world.store) == []


@pytest.mark.parametrize("sync_status", [None, "pending", "completed", "failed", "no such word"])
async def test_any_sync_status_but_syncing_is_served(world: World, sync_status: str | None) -> None:
    world.seed.add_connection("c", sync_status=sync_status)

    assert await due(world.store) == ["c"]


async def test_syncing_is_left_alone_until_the_job_time_limit_and_then_taken(world: World) -> None:
    long_ago = ago(days=4)
    world.seed.add_connection(
        "c", sync_status="syncing", last_synced_at=iso(ago(days=30)), connected_at=iso(ago(days=30))
    )
    world.seed.add_job("theirs", "c", status="running", started_at=iso(long_ago))

    just_before = await due(world.store, now_ms=NOW_MS - 1000)
    at_the_limit = await due(world.store)

    assert (just_before, at_the_limit) == ([], ["c"])


async def test_syncing_without_any_job_is_stuck_once_the_stream_has_been_still_for_the_limit(
    world: World,
) -> None:
    world.seed.add_connection("c", sync_status="syncing", last_synced_at=iso(ago(days=30)))
    cycle = job_commit("c", at_ms=ago(days=4), job=None)
    await take(world.store, cycle)
    await take(world.store, commit(cycle.after, ENQUEUED, at_ms=ago(days=4)))

    just_before = await due(world.store, now_ms=NOW_MS - 1000)
    at_the_limit = await due(world.store)

    assert (just_before, at_the_limit) == ([], ["c"])


async def test_stuck_job_is_superseded_however_late_its_message_was_delivered(
    world: World,
) -> None:
    world.seed.add_connection("c", sync_status="syncing", last_synced_at=iso(ago(days=30)))
    cycle = job_commit("c", "stuck", at_ms=ago(days=5))
    await take(world.store, cycle)

    await take(world.store, commit(cycle.after, ENQUEUED, at_ms=ago(days=3)))

    [conn] = await candidates(world.store)
    assert (conn.connection_id, conn.job_id) == ("c", "stuck")


@pytest.mark.parametrize("status", ["pending", "running"])
async def test_open_job_of_anybody_holds_a_connection_until_it_is_as_old_as_the_limit(
    world: World, status: str
) -> None:
    world.seed.add_connection("c")
    world.seed.add_job("theirs", "c", status=status, created_at=plain(ago(days=4)))

    just_before = await due(world.store, now_ms=NOW_MS - 1000)
    at_the_limit = await due(world.store)

    assert (just_before, at_the_limit) == ([], ["c"])


async def test_age_of_a_job_counts_from_when_it_was_started(world: World) -> None:
    world.seed.add_connection("c")
    long_ago, lately = plain(ago(days=5)), iso(ago(hours=1))
    world.seed.add_job("j", "c", status="running", created_at=long_ago, started_at=lately)

    assert await due(world.store) == []


@pytest.mark.parametrize("status", ["completed", "failed", None, "no such word"])
async def test_job_that_is_not_open_holds_nothing(world: World, status: str | None) -> None:
    world.seed.add_connection("c")
    world.seed.add_job("j", "c", status=status, created_at=iso(ago(minutes=1)))

    assert await due(world.store) == ["c"]


@pytest.mark.parametrize("raw", [None, "", "now", "soon", "2460000.5"])
async def test_open_job_of_unknown_age_does_not_hold_its_connection_for_ever(
    world: World, raw: str | None
) -> None:
    world.seed.add_connection("c")
    world.seed.add_job("j", "c", created_at=raw)

    assert await due(world.store) == ["c"]


async def test_interval_of_its_own_goes_before_the_schedule_shorter_or_longer(
    world: World,
) -> None:
    for connection_id, seconds in (("shorter", 600), ("longer", 86_400)):
        for minutes in (9, 11, 61, 1439, 1441):
            name = f"{connection_id} {minutes}"
            world.seed.add_connection(name, last_synced_at=iso(ago(minutes=minutes)))
            world.seed.set_interval(name, seconds)

    found = await due(world.store)

    shorter = ["shorter 11", "shorter 1439", "shorter 1441", "shorter 61"]
    assert sorted(found) == ["longer 1441", *shorter]


async def test_never_synced_is_due_whatever_its_own_interval(world: World) -> None:
    world.seed.add_connection("c")
    world.seed.set_interval("c", 10**9)

    assert await due(world.store) == ["c"]


async def test_failed_connection_waits_until_its_retry_at(world: World) -> None:
    world.seed.add_connection("c")
    await take(world.store, commit("c", DUE, failed(retry_at=NOW_MS)))

    just_before = await due(world.store, now_ms=NOW_MS - 1)
    then = await due(world.store)

    assert (just_before, then) == ([], ["c"])


async def test_dead_grant_is_not_due_until_either_credential_changes(world: World) -> None:
    for name in ("same", "new access", "new refresh", "gone"):
        world.seed.add_connection(name)
        [sent] = await world.vault.credentials([name])
        dead = failed(retry_at=None, credentials=sent.fingerprint)
        await take(world.store, commit(name, DUE, dead))
    before = await due(world.store)

    world.seed.update_connection("new access", credentials_encrypted="another")
    world.seed.update_connection("new refresh", refresh_token_encrypted="another")
    world.seed.update_connection("gone", refresh_token_encrypted=None)

    after = await candidates(world.store)
    assert before == []
    assert sorted(conn.connection_id for conn in after) == ["gone", "new access", "new refresh"]
    assert all(conn.reconnected for conn in after)


async def test_refresh_whose_lease_ran_out_is_planned_again(world: World) -> None:
    world.seed.add_connection("c")
    await take(world.store, commit("c", DUE, started(lease_until=NOW_MS)))

    just_before = await due(world.store, now_ms=NOW_MS - 1)
    then = await due(world.store)

    assert (just_before, then) == ([], ["c"])


async def test_connection_that_fell_due_and_got_no_further_is_still_due(world: World) -> None:
    world.seed.add_connection("c", last_synced_at=iso(ago(hours=2)))
    await take(world.store, commit("c", DUE))

    assert await due(world.store) == ["c"]


async def test_job_that_the_queue_does_not_have_yet_holds_its_connection(world: World) -> None:
    world.seed.add_connection("c")
    cycle = await take(world.store, commit("c", DUE, created("c"), at_ms=ago(days=9)))
    waiting = await due(world.store)

    await take(world.store, commit(cycle, ENQUEUED, at_ms=ago(days=8)))

    assert (waiting, await due(world.store)) == ([], ["c"])


@pytest.mark.parametrize("is_active", [0, None])
async def test_inactive_connection_is_not_due(world: World, is_active: int | None) -> None:
    world.seed.add_connection("inactive", is_active=is_active)
    world.seed.add_connection("active", is_active=1)

    assert await due(world.store) == ["active"]


async def test_each_organisations_first_comes_before_any_organisations_second(
    world: World,
) -> None:
    many = [("a", hours) for hours in (9, 8, 7, 6)]
    for organization_id, hours in [*many, ("b", 3), ("b", 2), ("c", 5)]:
        world.seed.add_connection(
            f"{organization_id}{hours}",
            organization_id=organization_id,
            last_synced_at=iso(ago(hours=hours)),
        )
    world.seed.add_connection("a never", organization_id="a")

    found = await due(world.store)

    assert found == ["a never", "c5", "b3", "a9", "b2", "a8", "a7", "a6"]


async def test_short_limit_goes_to_every_organisation(world: World) -> None:
    for number in range(9):
        world.seed.add_connection(f"many {number}", organization_id="many")
    world.seed.add_connection("one", organization_id="one", last_synced_at=iso(ago(hours=2)))

    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=2)

    found = await ids(world.store, plan.ready)
    assert len(found) == 2
    assert "one" in found


async def test_plan_says_whether_the_limit_left_something_out(world: World) -> None:
    for number in range(3):
        world.seed.add_connection(f"c{number}")

    plans = [
        await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=limit) for limit in (2, 3, 4)
    ]

    assert [len(plan.ready) for plan in plans] == [2, 3, 3]
    assert [plan.complete for plan in plans] == [False, True, True]


async def test_reconnected_connections_count_towards_the_limit(world: World) -> None:
    for name in ("a", "b", "c"):
        world.seed.add_connection(name)
        dead = failed(retry_at=None, credentials="others")
        await take(world.store, commit(name, DUE, dead))

    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=2)

    assert (len(plan.ready), plan.complete) == (2, False)


async def test_nothing_due_is_an_empty_and_complete_plan(world: World) -> None:
    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=10)

    assert (list(plan.ready), dict(plan.expiring), plan.complete) == ([], {}, True)


async def test_planning_claims_nothing(world: World) -> None:
    world.seed.add_connection("c")

    assert await due(world.store) == await due(world.store) == ["c"]


async def test_token_that_ends_within_the_margin_makes_it_expiring(world: World) -> None:
    margin_end = NOW_MS + SCHEDULE.refresh_margin_ms
    world.seed.add_connection("lasts for ever", expires_at=None)
    world.seed.add_connection("lasts", expires_at=iso(margin_end))
    world.seed.add_connection("ends", expires_at=plain(margin_end - 1000))
    world.seed.add_connection("ended", platform="tiktok", expires_at=iso(ago(days=400)))
    world.seed.add_connection("odd", platform="tiktok", expires_at="in a while")

    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=10)

    assert sorted(await ids(world.store, plan.ready)) == ["lasts", "lasts for ever"]
    assert sorted(plan.expiring) == ["google", "tiktok"]
    assert await ids(world.store, plan.expiring["google"]) == ["ends"]
    assert sorted(await ids(world.store, plan.expiring["tiktok"])) == ["ended", "odd"]


@pytest.mark.parametrize("raw", [None, "", "never", "2026-10-10T12:04:59.999Z", "2026-10-10 12:05"])
async def test_plan_and_candidate_agree_on_what_is_expiring(world: World, raw: str | None) -> None:
    world.seed.add_connection("c", expires_at=raw)

    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=10)

    [conn] = await candidates(world.store)
    expected = expires_within(conn, NOW_MS, SCHEDULE.refresh_margin_ms)
    assert bool(plan.expiring) == expected


async def test_expiring_is_soonest_first_and_fair_within_each_platform(world: World) -> None:
    for organization_id, platform, minutes in (
        ("a", "google", 9),
        ("a", "google", 8),
        ("a", "facebook", 7),
        ("b", "facebook", 1),
        ("b", "facebook", 2),
        ("b", "google", 3),
    ):
        world.seed.add_connection(
            f"{organization_id}{minutes}",
            organization_id=organization_id,
            platform=platform,
            expires_at=iso(ago(minutes=minutes)),
        )

    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=10)

    assert await ids(world.store, plan.expiring["google"]) == ["a9", "b3", "a8"]
    assert await ids(world.store, plan.expiring["facebook"]) == ["a7", "b2", "b1"]


async def test_settings_of_the_schedule_are_honoured(world: World) -> None:
    world.seed.add_connection("c", last_synced_at=iso(ago(minutes=11)))
    world.seed.add_job("j", "c", created_at=iso(ago(minutes=31)))
    minute_ms = 60_000
    quick = Schedule(interval_ms=10 * minute_ms, job_limit_ms=30 * minute_ms)

    assert await due(world.store, schedule=quick) == ["c"]
    assert await due(world.store) == []


async def test_crowd_in_every_condition_is_served_as_by_the_reference(
    world: World, tmp_path: Path
) -> None:
    async with memory_world(tmp_path, tmp_path) as reference:
        await crowd(reference, random.Random(7))
        expected = await candidates(reference.store)
    await crowd(world, random.Random(7))

    found = await candidates(world.store)

    assert len(expected) > 50
    assert {conn.connection_id: replace(conn, ref=0) for conn in found} == {
        conn.connection_id: replace(conn, ref=0) for conn in expected
    }


async def test_crowd_is_served_alike_when_very_many_are_overdue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crowd(world, random.Random(8))
    looked_up = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=1_000)
    monkeypatch.setattr(SqliteStore, "few", 0)

    merged = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=1_000)

    assert len(merged.ready) > 20
    assert merged == looked_up
