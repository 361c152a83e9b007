"""What every database promises about whose ciphertext is whose.

Copies are found by the iv, with which a ciphertext begins; here any text will do for one.
"""

from typing import Final

import msgspec

from clearlift_adapters.credentials import Seal, StoredCredentials, StoredTokens
from tests.given import DUE, commit, failed, job_commit, take
from tests.world import World

NEW: Final = "new access token, encrypted"
ROTATED: Final = "new refresh token, encrypted"


async def held(world: World, connection_id: str = "c") -> StoredCredentials:
    [found] = await world.vault.credentials([connection_id])
    assert isinstance(found, StoredCredentials)
    return found


async def sealed(world: World, refresh: str | None = ROTATED) -> StoredTokens:
    """Return new tokens for the connection c, with their seals."""
    tokens = StoredTokens(await held(world), NEW, refresh, None, refresh is not None)
    return msgspec.structs.replace(tokens, access_seal="seal 1", refresh_seal="seal 2")


async def copied(world: World, *connection_ids: str) -> list[tuple[bool, bool]]:
    found = [await held(world, connection_id) for connection_id in connection_ids]
    return [(each.access_copied, each.refresh_copied) for each in found]


async def test_seals_are_stored_with_the_tokens_and_found_beside_them(world: World) -> None:
    world.seed.add_connection("c")

    await take(world.store, job_commit("c", tokens=await sealed(world)))

    assert sorted((await held(world)).seals, key=msgspec.structs.astuple) == [
        Seal("c", "credentials_encrypted", "seal 1"),
        Seal("c", "refresh_token_encrypted", "seal 2"),
    ]


async def test_seal_of_a_refresh_token_that_stays_is_found_beside_it(world: World) -> None:
    world.seed.add_connection("c")

    await take(world.store, job_commit("c", tokens=await sealed(world, refresh=None)))

    assert Seal("c", "refresh_token_encrypted", "seal 2") in (await held(world)).seals


async def test_seals_of_a_lost_commit_are_not_stored(world: World) -> None:
    world.seed.add_connection("c")
    tokens = await sealed(world)
    world.seed.update_connection("c", refresh_token_encrypted="the user has reconnected")

    appended = await world.store.append([job_commit("c", tokens=tokens)])

    assert appended.lost == {"c"}
    assert (await held(world)).seals == ()


async def test_new_seals_replace_the_old_ones(world: World) -> None:
    world.seed.add_connection("c")
    stream = await take(world.store, commit("c", DUE, tokens=await sealed(world)))
    again = msgspec.structs.replace(await sealed(world, None), access="newer", access_seal="seal 3")

    await take(world.store, commit(stream, failed(retry_at=None), tokens=again))
    world.seed.update_connection("c", credentials_encrypted=NEW)

    assert [each.seal for each in (await held(world)).seals] == ["seal 2"]


async def test_seal_follows_a_ciphertext_to_wherever_it_was_moved(world: World) -> None:
    world.seed.add_connection("c")
    world.seed.add_connection("other")
    await take(world.store, job_commit("c", tokens=await sealed(world)))

    world.seed.update_connection("c", refresh_token_encrypted="something else of c")
    world.seed.update_connection("other", credentials_encrypted=ROTATED)

    moved = await held(world, "other")
    assert moved.seals == (Seal("c", "refresh_token_encrypted", "seal 2"),)
    assert not moved.access_copied


async def test_user_who_reconnects_leaves_no_seal_behind_that_speaks_against_it(
    world: World,
) -> None:
    world.seed.add_connection("c")
    await take(world.store, job_commit("c", tokens=await sealed(world)))

    world.seed.update_connection(
        "c", credentials_encrypted="anew", refresh_token_encrypted="anew, too"
    )

    assert (await held(world)).seals == ()


async def test_ciphertexts_that_stand_once_are_no_copies(world: World) -> None:
    for name in ("a", "b"):
        world.seed.add_connection(name)
    world.seed.add_connection("empty", credentials_encrypted=None, refresh_token_encrypted=None)

    assert await copied(world, "a", "b", "empty") == [(False, False)] * 3


async def test_copy_in_the_same_column_of_another_connection_is_seen_on_both(world: World) -> None:
    world.seed.add_connection("a", refresh_token_encrypted="one and the same")
    world.seed.add_connection("b", refresh_token_encrypted="one and the same")

    assert await copied(world, "a", "b") == [(False, True)] * 2


async def test_copy_in_the_other_column_is_seen_on_both(world: World) -> None:
    world.seed.add_connection("a", credentials_encrypted="one and the same")
    world.seed.add_connection("b", refresh_token_encrypted="one and the same")
    world.seed.add_connection("c", credentials_encrypted="twice", refresh_token_encrypted="twice")

    assert await copied(world, "a", "b", "c") == [(True, False), (False, True), (True, True)]


async def test_ciphertexts_that_only_begin_alike_are_no_copies(world: World) -> None:
    world.seed.add_connection("a", credentials_encrypted="sixteen letters and an end")
    world.seed.add_connection("b", credentials_encrypted="sixteen letters and another")

    assert await copied(world, "a", "b") == [(False, False)] * 2


async def test_credentials_encrypted_anew_keep_their_name_until_they_are_others(
    world: World,
) -> None:
    world.seed.add_connection("c")
    before = await held(world)
    anew = StoredCredentials("c", "access, anew", "refresh, anew")

    world.seed.rename("c", anew.ciphertexts, before.fingerprint)
    still = (await held(world)).fingerprint
    world.seed.update_connection("c", credentials_encrypted=anew.access)
    half = (await held(world)).fingerprint
    world.seed.update_connection("c", refresh_token_encrypted=anew.refresh)

    assert still == before.fingerprint == (await held(world)).fingerprint
    assert half not in (before.fingerprint, anew.ciphertexts)


async def test_dead_grant_that_was_encrypted_anew_is_no_reconnection(world: World) -> None:
    world.seed.add_connection("c")
    dead = await held(world)
    lost = failed(retry_at=None, credentials=dead.fingerprint)
    await take(world.store, commit("c", DUE, lost))
    anew = StoredCredentials("c", "access, anew", "refresh, anew")

    world.seed.rename("c", anew.ciphertexts, dead.fingerprint)
    world.seed.update_connection(
        "c", credentials_encrypted=anew.access, refresh_token_encrypted=anew.refresh
    )
    [after] = await world.store.find(["c"])
    world.seed.update_connection("c", refresh_token_encrypted="the user has reconnected")
    [later] = await world.store.find(["c"])

    assert (after.reconnected, later.reconnected) == (False, True)
