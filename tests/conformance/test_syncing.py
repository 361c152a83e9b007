"""What every Store promises about a connection in `syncing` of which an operator has spoken."""

import pytest

from clearlift_engine.events import Paused, Resumed
from clearlift_engine.policy import iso
from clearlift_engine.stream import Stream
from tests.given import ENQUEUED, NOW_MS, ago, commit, due, job_commit, take
from tests.world import World


@pytest.mark.parametrize("job", [True, False], ids=["after a job", "seen by nobody else"])
async def test_what_an_operator_says_does_not_hold_a_syncing_connection_for_longer(
    world: World, *, job: bool
) -> None:
    world.seed.add_connection("c", sync_status="syncing", last_synced_at=iso(ago(days=30)))
    stream = Stream("c")
    if job:
        cycle = job_commit("c", at_ms=ago(days=4), job=None)
        stream = await take(world.store, cycle)
        stream = await take(world.store, commit(stream, ENQUEUED, at_ms=ago(days=4)))
    words = Paused(by="ann", reason="why"), Resumed(by="ann", reason="why")
    await take(world.store, commit(stream, *words, at_ms=ago(days=1)))

    just_before = await due(world.store, now_ms=NOW_MS - 1000)

    assert just_before == ([] if job else ["c"])
    assert await due(world.store) == ["c"]
