"""What every Store promises about tokens: never stored over others than those that were sent."""

import pytest

from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_adapters.stores.paged import PagedArchive
from clearlift_engine.policy import iso
from clearlift_engine.ports import Appended
from tests.given import DUE, NOW_MS, commit, created, job_commit, started, take
from tests.world import World

EXPIRES_AT = NOW_MS + 3_600_123


async def sealed(
    world: World, *, refresh: str | None = None, expires_at: int | None = EXPIRES_AT
) -> StoredTokens:
    """Return new tokens for the connection c, in place of those that it has now."""
    [replaces] = await world.vault.credentials(["c"])
    assert isinstance(replaces, StoredCredentials)
    return StoredTokens(replaces, "new access", refresh, expires_at, refresh is not None)


def stored(world: World) -> tuple[str | None, str | None, str | None]:
    row = world.seed.row("platform_connections", "c")
    return row["credentials_encrypted"], row["refresh_token_encrypted"], row["expires_at"]


async def test_rotated_token_is_stored_with_the_new_access_token_and_its_expiry(
    world: World,
) -> None:
    world.seed.add_connection("c", expires_at="2026-10-10 12:00:00")
    tokens = await sealed(world, refresh="new refresh")

    await take(world.store, job_commit("c", tokens=tokens))

    assert stored(world) == ("new access", "new refresh", iso(EXPIRES_AT))


async def test_refresh_token_stays_when_no_new_one_came(world: World) -> None:
    world.seed.add_connection("c")
    tokens = await sealed(world)

    await take(world.store, commit("c", DUE, created("c"), tokens=tokens))

    assert stored(world) == ("new access", "refresh of c", iso(EXPIRES_AT))


async def test_connection_without_a_refresh_token_gets_a_new_access_token(world: World) -> None:
    world.seed.add_connection("c", refresh_token_encrypted=None)
    tokens = await sealed(world)

    await take(world.store, job_commit("c", tokens=tokens))

    assert stored(world) == ("new access", None, iso(EXPIRES_AT))


async def test_token_that_does_not_expire_has_no_expiry(world: World) -> None:
    world.seed.add_connection("c", expires_at="2026-10-10 12:00:00")
    tokens = await sealed(world, expires_at=None)

    await take(world.store, job_commit("c", tokens=tokens))

    assert stored(world) == ("new access", "refresh of c", None)


async def test_tokens_of_a_lost_commit_are_not_stored(world: World) -> None:
    world.seed.add_connection("c")
    tokens = await sealed(world)
    await take(world.store, commit("c", DUE, run_id="another"))

    appended = await world.store.append([job_commit("c", tokens=tokens)])

    assert appended.lost == {"c"}
    assert stored(world) == ("access of c", "refresh of c", None)


@pytest.mark.parametrize("column", ["credentials_encrypted", "refresh_token_encrypted"])
async def test_tokens_do_not_overwrite_those_of_a_user_who_reconnected_meanwhile(
    world: World, column: str
) -> None:
    world.seed.add_connection("c")
    tokens = await sealed(world, refresh="new refresh")
    world.seed.update_connection("c", **{column: "the user's own"})
    theirs = stored(world)

    appended = await world.store.append([job_commit("c", tokens=tokens)])

    assert appended.lost == {"c"}  # Nothing says that new tokens are stored which are not.
    assert stored(world) == theirs
    assert not world.seed.rows("sync_jobs")


async def test_fields_longer_than_anybody_reads_are_replaced_all_the_same(world: World) -> None:
    world.seed.add_connection("c", credentials_encrypted="x" * 70_000)
    tokens = await sealed(world, refresh="new refresh")

    await take(world.store, job_commit("c", tokens=tokens))

    assert stored(world)[:2] == ("new access", "new refresh")


async def test_credentials_that_are_no_text_are_found_again_and_replaced(world: World) -> None:
    if isinstance(world.archive, PagedArchive):
        pytest.skip("values go to D1 as JSON, which has no bytes; and bytes never decrypt")
    world.seed.add_connection("c", credentials_encrypted=b"\xff\x00no text")
    tokens = await sealed(world)

    await take(world.store, job_commit("c", tokens=tokens))

    assert stored(world) == ("new access", "refresh of c", iso(EXPIRES_AT))


async def test_credential_that_vanished_or_appeared_is_another_credential(world: World) -> None:
    world.seed.add_connection("c", refresh_token_encrypted=None)
    tokens = await sealed(world)
    world.seed.update_connection("c", refresh_token_encrypted="appeared")

    appended = await world.store.append([job_commit("c", tokens=tokens)])

    assert appended.lost == {"c"}
    assert stored(world) == ("access of c", "appeared", None)


async def test_tokens_alone_are_stored_without_moving_the_stream(world: World) -> None:
    world.seed.add_connection("c")
    claimed = await take(world.store, commit("c", DUE, started()))
    tokens = await sealed(world)

    appended = await world.store.append([commit(claimed, tokens=tokens)])

    assert appended == Appended()
    assert stored(world) == ("new access", "refresh of c", iso(EXPIRES_AT))
    assert len(world.seed.rows("outbox")) == 2


async def test_tokens_alone_are_lost_where_the_stream_has_moved(world: World) -> None:
    world.seed.add_connection("c")
    claimed = await take(world.store, commit("c", DUE, started()))
    tokens = await sealed(world)
    await take(world.store, commit(claimed, created("c"), run_id="another"))

    appended = await world.store.append([commit(claimed, tokens=tokens)])

    assert appended.lost == {"c"}
    assert stored(world) == ("access of c", "refresh of c", None)


async def test_tokens_for_a_connection_deleted_meanwhile_are_no_error(world: World) -> None:
    world.seed.add_connection("c")
    claimed = await take(world.store, commit("c", DUE, started()))
    tokens = await sealed(world)
    world.seed.delete_connection("c")

    assert await world.store.append([commit(claimed, tokens=tokens)]) == Appended()
