"""What every Leases promises."""

from tests.world import World


async def hold(world: World, holder: str, now_ms: int, until_ms: int, name: str = "relay") -> bool:
    return await world.leases.hold(name, holder, now_ms=now_ms, until_ms=until_ms)


async def test_live_lease_keeps_others_out_and_one_that_ran_out_does_not(world: World) -> None:
    first = await hold(world, "a", 1000, 2000)

    under_lease = await hold(world, "b", 1999, 9000)
    after_lease = await hold(world, "b", 2000, 9000)

    assert (first, under_lease, after_lease) == (True, False, True)


async def test_refused_lease_is_still_its_holders(world: World) -> None:
    await hold(world, "a", 1000, 2000)
    await hold(world, "b", 1500, 9000)

    assert await hold(world, "c", 1999, 9000) is False
    assert world.seed.rows("leases") == [{"name": "relay", "holder": "a", "until": 2000}]


async def test_holder_prolongs_its_own_lease(world: World) -> None:
    await hold(world, "a", 1000, 2000)

    assert await hold(world, "a", 1500, 3000) is True
    assert await hold(world, "b", 2500, 9000) is False


async def test_holder_that_comes_back_late_finds_it_taken(world: World) -> None:
    await hold(world, "a", 1000, 2000)
    await hold(world, "b", 2000, 3000)

    assert await hold(world, "a", 2500, 4000) is False


async def test_holder_gives_its_lease_up_by_ending_it_now(world: World) -> None:
    await hold(world, "a", 1000, 2000)

    await hold(world, "a", 1200, 1200)

    assert await hold(world, "b", 1200, 3000) is True


async def test_leases_of_different_names_do_not_meet(world: World) -> None:
    await hold(world, "a", 1000, 2000, name="relay")

    assert await hold(world, "b", 1000, 2000, name="reconcile") is True
