"""What every Survey promises."""

from tests.given import DUE, ODD_IDS, commit, created, take
from tests.world import World


async def pages(world: World, limit: int) -> list[list[int]]:
    found, after = list[list[int]](), 0
    while page := list(await world.survey.refs(after=after, limit=limit)):
        found.append(page)
        after = page[-1]
    return found


async def test_survey_of_a_new_database_is_empty(world: World) -> None:
    assert await pages(world, limit=10) == []


async def test_every_connection_is_surveyed_once_due_or_not(world: World) -> None:
    for odd in ODD_IDS:
        world.seed.add_connection(odd, is_active=0, sync_status="syncing")
    world.seed.add_connection("waiting")
    await take(world.store, commit("waiting", DUE, created("waiting")))

    refs = [ref for page in await pages(world, limit=3) for ref in page]

    found = await world.store.candidates(refs)
    assert sorted(conn.connection_id for conn in found) == sorted([*ODD_IDS, "waiting"])
    assert refs == sorted(set(refs))
    assert refs[0] > 0


async def test_page_is_as_long_as_asked_for_but_for_the_last(world: World) -> None:
    for number in range(7):
        world.seed.add_connection(f"c{number}")

    assert [len(page) for page in await pages(world, limit=3)] == [3, 3, 1]


async def test_connection_deleted_meanwhile_is_left_out(world: World) -> None:
    for number in range(4):
        world.seed.add_connection(f"c{number}")
    [before] = await pages(world, limit=10)

    world.seed.delete_connection("c1")

    [after] = await pages(world, limit=10)
    assert len(after) == 3
    assert set(after) < set(before)
