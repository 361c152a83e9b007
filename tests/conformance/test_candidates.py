"""What every Store promises about `candidates`: the facts of each row, however odd the row."""

import pytest

from clearlift_engine.policy import iso
from clearlift_engine.stream import Stream
from tests.given import (
    DUE,
    NOW_MS,
    ODD_IDS,
    SCHEDULE,
    ago,
    candidates,
    commit,
    failed,
    ids,
    plain,
    started,
    take,
)
from tests.world import World


async def refs(world: World) -> list[int]:
    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=1000)
    return [*plan.ready, *(ref for found in plan.expiring.values() for ref in found)]


async def test_candidates_come_in_the_order_of_their_references(world: World) -> None:
    for name in ("a", "b", "c"):
        world.seed.add_connection(name)
    planned = await refs(world)

    forwards = await ids(world.store, planned)
    backwards = await ids(world.store, planned[::-1])

    assert sorted(forwards) == ["a", "b", "c"]
    assert backwards == forwards[::-1]


async def test_connection_deleted_since_the_plan_is_left_out(world: World) -> None:
    for name in ("a", "b", "c"):
        world.seed.add_connection(name)
    planned = await refs(world)

    world.seed.delete_connection("b")

    assert sorted(await ids(world.store, planned)) == ["a", "c"]


async def test_facts_are_those_of_now_and_not_of_the_plan(world: World) -> None:
    world.seed.add_connection("c")
    planned = await refs(world)
    world.seed.update_connection("c", is_active=0, sync_status="syncing", platform="stripe")
    await take(world.store, commit("c", DUE))

    [conn] = await world.store.candidates(planned)

    assert (conn.is_active, conn.sync_status, conn.platform) == (False, "syncing", "stripe")
    assert conn.stream.state == "due"


async def test_candidate_says_what_the_plan_calls_it(world: World) -> None:
    for name in ("a", "b"):
        world.seed.add_connection(name)
    planned = await refs(world)

    found = await world.store.candidates(planned)

    assert [conn.ref for conn in found] == planned


async def test_connections_are_found_by_their_ids_due_or_not_without_unknown_ones(
    world: World,
) -> None:
    for odd in ODD_IDS:
        world.seed.add_connection(odd, is_active=0)
    world.seed.add_connection("c")
    [planned] = await world.store.candidates(await refs(world))

    found = await world.store.find([*ODD_IDS, "nobody", "c"])

    assert sorted(conn.connection_id for conn in found) == sorted([*ODD_IDS, "c"])
    assert planned in found


@pytest.mark.parametrize(
    ("scopes", "odd"),
    [(None, False), ('["ads.read"]', False), ("[]", False), ("", True), ("{not json", True)],
)
async def test_scopes_that_are_no_json_are_told_and_stop_nothing(
    world: World, scopes: str | None, *, odd: bool
) -> None:
    world.seed.add_connection("c", scopes=scopes)

    [conn] = await candidates(world.store)

    assert conn.scopes_odd == odd


async def test_nothing_asked_for_is_nothing_returned(world: World) -> None:
    world.seed.add_connection("c")

    assert list(await world.store.candidates([])) == []


async def test_new_connection_has_an_empty_stream_and_no_job(world: World) -> None:
    world.seed.add_connection("c", account_id="42", connected_at="2026-10-10 11:00:00")

    [conn] = await candidates(world.store)

    assert (conn.organization_id, conn.platform, conn.account_id) == ("org", "google", "42")
    assert conn.stream == Stream("c")
    assert conn.connected_at == ago(hours=1)
    assert (conn.job_id, conn.job_since, conn.interval_ms, conn.reconnected) == (
        *(None, None, None),
        False,
    )


@pytest.mark.parametrize(
    ("raw", "ms", "odd"),
    [
        (None, None, False),
        ("2026-10-10 10:00:00", ago(hours=2), False),
        ("2026-10-10T10:00:00Z", ago(hours=2), False),
        ("2026-10-10T10:00:00.123Z", ago(hours=2) + 123, False),
        ("2026-10-10 10:00:00.999", ago(hours=2) + 999, False),
        ("2026-10-10T12:00:00.000+02:00", ago(hours=2), False),
        ("2026-10-10 10:00", ago(hours=2), False),
        ("1970-01-01T00:00:00.001Z", 1, False),
        ("", None, True),
        ("now", None, True),
        ("last week", None, True),
        ("1760000000", None, True),
        ("2026-10-10T10:00:00.000Z and more", None, True),
        ("2026-13-10 10:00:00", None, True),
        ("2026-10-10 25:00:00", None, True),
        ("10/10/2026", None, True),
    ],
)
async def test_text_of_a_datetime_column_is_read_to_the_millisecond_or_is_odd(
    world: World, raw: str | None, ms: int | None, *, odd: bool
) -> None:
    world.seed.add_connection("c")
    planned = await refs(world)
    world.seed.update_connection("c", last_synced_at=raw, expires_at=raw, connected_at=raw)

    [conn] = await world.store.candidates(planned)

    assert (conn.last_synced_at, conn.last_synced_odd) == (ms, odd)
    assert (conn.expires_at, conn.expires_odd) == (ms, odd)
    assert conn.connected_at == ms


async def test_interval_of_its_own_is_in_milliseconds(world: World) -> None:
    world.seed.add_connection("c")
    world.seed.set_interval("c", 900)

    [conn] = await candidates(world.store)

    assert conn.interval_ms == 900_000


async def test_newest_open_job_counts_whoever_made_it_and_however_old_the_others(
    world: World,
) -> None:
    world.seed.add_connection("c")
    planned = await refs(world)
    world.seed.add_job("old", "c", created_at=iso(ago(days=3)))
    world.seed.add_job("restarted", "c", created_at=iso(ago(days=9)), started_at=plain(NOW_MS))
    world.seed.add_job("new", "c", created_at=plain(ago(hours=1)), status="running")
    world.seed.add_job("done", "c", created_at=iso(NOW_MS), status="completed")

    [conn] = await world.store.candidates(planned)

    assert (conn.job_id, conn.job_since) == ("restarted", NOW_MS)


async def test_stream_is_the_projection_in_every_column(world: World) -> None:
    world.seed.add_connection("c")
    moved = await take(world.store, commit("c", DUE, started(credentials="sent", lease_until=5)))

    [conn] = await candidates(world.store)

    assert conn.stream == moved
    assert (conn.stream.state, conn.stream.version) == ("refreshing", 2)
    assert (conn.stream.lease_until, conn.stream.credentials) == (5, "sent")
    assert conn.stream.in_doubt == 1


async def test_reconnected_is_said_of_a_dead_grant_alone(world: World) -> None:
    for name in ("passing", "dead"):
        world.seed.add_connection(name)
    retry = failed(retry_at=ago(hours=1), credentials="others")
    await take(world.store, commit("passing", DUE, retry))
    await take(world.store, commit("dead", DUE, failed(retry_at=None, credentials="others")))

    found = {conn.connection_id: conn.reconnected for conn in await candidates(world.store)}

    assert found == {"passing": False, "dead": True}


@pytest.mark.parametrize("connection_id", ODD_IDS)
async def test_id_may_be_any_text(world: World, connection_id: str) -> None:
    world.seed.add_connection(connection_id, account_id=connection_id, platform=connection_id)
    [sent] = await world.vault.credentials([connection_id])
    moved = await take(world.store, commit(connection_id, DUE))

    [conn] = await candidates(world.store)

    assert sent.connection_id == connection_id
    assert (conn.connection_id, conn.account_id, conn.platform) == (connection_id,) * 3
    assert conn.stream == moved


async def test_fields_of_two_megabytes_and_no_credentials_stop_nothing(world: World) -> None:
    huge = "x" * 2_000_000
    world.seed.add_connection("huge", credentials_encrypted=huge, refresh_token_encrypted=huge)
    world.seed.add_connection("odd", scopes=huge, account_name=huge, expires_at=huge)
    world.seed.add_connection("bare", credentials_encrypted=None, refresh_token_encrypted=None)

    found = await candidates(world.store)

    assert sorted(conn.connection_id for conn in found) == ["bare", "huge", "odd"]
