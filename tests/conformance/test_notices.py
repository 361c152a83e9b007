"""What every Notices promises."""

from collections.abc import Sequence

from clearlift_engine.alerts import Alert, AlertName
from clearlift_engine.events import Paused
from clearlift_engine.notices import Changes, DeadGrant
from clearlift_engine.policy import HOUR_MS
from tests.given import DUE, NOW_MS, commit, failed, plain, take
from tests.world import World


def alert(name: AlertName) -> Alert:
    return Alert(name, firing=True, value=1, limit=0, sentence="", next_step="")


async def untold(world: World, limit: int = 10) -> Sequence[DeadGrant]:
    return await world.notices.untold_grants(limit=limit)


async def test_alert_is_told_until_it_has_ended(world: World) -> None:
    fired = Changes(fired=[alert("error_rate"), alert("stuck_relay")])
    await world.notices.note(fired, now_ms=NOW_MS)
    await world.notices.note(fired, now_ms=NOW_MS + 1)
    both = set(await world.notices.told_alerts())

    await world.notices.note(Changes(cleared=[alert("error_rate")]), now_ms=NOW_MS + 2)

    assert both == {"error_rate", "stuck_relay"}
    assert set(await world.notices.told_alerts()) == {"stuck_relay"}
    assert [row["told_at"] for row in world.seed.rows("notices")] == [NOW_MS + 1]


async def test_dead_grant_is_untold_until_it_was_told(world: World) -> None:
    for name in ("b", "a", "waits"):
        world.seed.add_connection(name)
    await take(world.store, commit("a", DUE, failed(retry_at=None, credentials="f")))
    await take(world.store, commit("b", DUE, failed(retry_at=None)))
    await take(world.store, commit("waits", DUE, failed(retry_at=NOW_MS + HOUR_MS)))
    both, first = await untold(world), await untold(world, limit=1)

    await world.notices.note(Changes(grants=first), now_ms=NOW_MS)

    assert both == [DeadGrant("a", "google", "f"), DeadGrant("b", "google", "")]
    assert (first, await untold(world)) == (both[:1], both[1:])


async def test_next_grant_that_dies_is_told_of_too(world: World) -> None:
    world.seed.add_connection("c")
    first = commit("c", DUE, failed(retry_at=None, credentials="f"))
    await take(world.store, first)
    await world.notices.note(Changes(grants=await untold(world)), now_ms=NOW_MS)

    again = commit(first.after, DUE, failed(retry_at=None, credentials="g"))
    await take(world.store, again)

    assert await untold(world) == [DeadGrant("c", "google", "g")]


async def test_nobody_waits_for_what_is_paused_switched_off_or_deleted(world: World) -> None:
    for name in ("paused", "off", "gone"):
        world.seed.add_connection(name)
        dead = commit(name, DUE, failed(retry_at=None))
        await take(world.store, dead)
        if name == "paused":
            await take(world.store, commit(dead.after, Paused(by="who", reason="why")))
    world.seed.update_connection("off", is_active=0, last_synced_at=plain(NOW_MS))
    world.seed.delete_connection("gone")

    assert await untold(world) == []
