"""What lies further ahead than it can was set by a clock that was wrong: no reason to wait.

The rule and each store's query must agree on the last moment that is believed.
"""

import pytest

from clearlift_engine.policy import LEASE_MAX_MS, RETRY_MAX_MS
from tests.given import DUE, NOW_MS, SCHEDULE, commit, due, failed, ids, started, take
from tests.world import World


async def planned(world: World) -> list[str]:
    """Return what the store plans, whatever the rules say of it."""
    plan = await world.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=10)
    return await ids(world.store, plan.ready)


@pytest.mark.parametrize(("ahead_ms", "is_due"), [(0, False), (1, True)])
async def test_lease_is_believed_as_far_ahead_as_one_can_be(
    world: World, ahead_ms: int, *, is_due: bool
) -> None:
    world.seed.add_connection("c")
    lease_until = NOW_MS + LEASE_MAX_MS + ahead_ms
    await take(world.store, commit("c", DUE, started(lease_until=lease_until)))

    expected = ["c"] if is_due else []
    assert (await planned(world), await due(world.store)) == (expected, expected)


@pytest.mark.parametrize(("ahead_ms", "is_due"), [(0, False), (1, True)])
async def test_retry_is_believed_as_far_ahead_as_one_can_be(
    world: World, ahead_ms: int, *, is_due: bool
) -> None:
    world.seed.add_connection("c")
    retry_at = NOW_MS + RETRY_MAX_MS + ahead_ms
    await take(world.store, commit("c", DUE, failed(retry_at=retry_at)))

    expected = ["c"] if is_due else []
    assert (await planned(world), await due(world.store)) == (expected, expected)
