"""What every Vault promises."""

from collections.abc import Sequence

from clearlift_engine.ports import SealedCredentials
from tests.world import World


async def prints(world: World, *names: str) -> list[str]:
    found = {sealed.connection_id: sealed for sealed in await world.vault.credentials(names)}
    return [found[name].fingerprint for name in names]


def names(found: Sequence[SealedCredentials]) -> list[str]:
    return sorted(sealed.connection_id for sealed in found)


async def test_credentials_deleted_since_are_left_out(world: World) -> None:
    for name in ("a", "b", "c"):
        world.seed.add_connection(name)
    world.seed.delete_connection("b")

    found = await world.vault.credentials(["c", "b", "a", "never there"])

    assert names(found) == ["a", "c"]


async def test_fingerprint_is_the_same_exactly_while_both_credentials_are(world: World) -> None:
    world.seed.add_connection("c")
    [before], [again] = await prints(world, "c"), await prints(world, "c")

    world.seed.update_connection("c", refresh_token_encrypted="new")
    [after] = await prints(world, "c")
    world.seed.update_connection("c", refresh_token_encrypted=None)
    [without] = await prints(world, "c")

    assert before == again
    assert len({before, after, without}) == 3


async def test_no_secret_shows_in_what_is_printed(world: World) -> None:
    world.seed.add_connection("c", credentials_encrypted="hidden")
    world.seed.update_connection("c", refresh_token_encrypted="hidden too")

    [sealed] = await world.vault.credentials(["c"])

    assert "hidden" not in f"{sealed} {sealed!r} {sealed.fingerprint}"


async def test_connection_without_credentials_has_a_fingerprint_too(world: World) -> None:
    world.seed.add_connection("c", credentials_encrypted=None, refresh_token_encrypted=None)

    [sealed] = await world.vault.credentials(["c"])

    assert sealed.fingerprint


async def test_sample_is_of_active_connections_that_have_credentials(world: World) -> None:
    world.seed.add_connection("good")
    world.seed.add_connection("inactive", is_active=0)
    world.seed.add_connection("without", credentials_encrypted=None, refresh_token_encrypted=None)
    world.seed.add_connection("refreshes", credentials_encrypted=None)

    assert sorted(names(await world.vault.sample(10))) == ["good", "refreshes"]


async def test_sample_is_no_larger_than_asked_for(world: World) -> None:
    for number in range(5):
        world.seed.add_connection(f"c{number}")

    assert len(await world.vault.sample(3)) == 3
    assert len(await world.vault.sample(9)) == 5
