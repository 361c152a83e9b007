"""Defects 2, 4, 13, 14 and 15: a refresh token is spent once, kept, and not asked for in vain."""

import asyncio
from itertools import pairwise

from clearlift_adapters.memory_refresher import INVALID_GRANT
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Refused
from tests.given import ago, plain
from tests.known_defects.consumer import finish_all
from tests.worker import Worker


async def test_02_overlapping_runs_spend_a_refresh_token_once_and_fail_nobody(
    worker: Worker,
) -> None:
    for number in range(10):
        worker.expiring(f"c{number}", platform="tiktok")
    worker.refresher.latency_ms = 500

    await asyncio.gather(*(worker.tick() for _ in range(3)))

    spent = [call.token for call in worker.refresher.calls]
    assert sorted(map(str, spent)) == [f"refresh of c{number}" for number in range(10)]
    assert worker.marked() == []
    assert sorted(worker.jobs()) == [f"c{number}" for number in range(10)]


async def test_04_rotated_refresh_token_is_stored_and_the_next_refresh_sends_it(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    await worker.tick()
    await worker.relay()
    finish_all(worker)

    await worker.tick_later(2 * HOUR_MS)  # When the new access token has expired too.

    spent = [call.token for call in worker.refresher.calls]
    assert spent == ["refresh of c", "refresh-1"]
    assert worker.connection("c")["refresh_token_encrypted"] == "refresh-2"
    assert worker.jobs() == ["c", "c"]
    assert worker.marked() == []


async def test_13_job_that_is_created_later_takes_the_failure_back(worker: Worker) -> None:
    worker.expiring("c", last_synced_at=plain(ago(hours=2)))
    worker.refresher.script("c", Refused("transient", "no route to host"))
    await worker.tick()
    failed = worker.connection("c")

    await worker.tick_later()

    now = worker.connection("c")
    assert failed["sync_status"] == "failed"
    assert str(failed["sync_error"]).startswith("Token refresh failed: ")
    assert (now["sync_status"], now["sync_error"]) == ("pending", None)
    assert worker.jobs() == ["c"]


async def test_14_dead_grant_is_asked_for_once_and_again_when_its_user_has_reconnected(
    worker: Worker,
) -> None:
    worker.expiring("c")
    worker.refresher.script("c", INVALID_GRANT)
    for _ in range(5):
        await worker.tick_later()
    asked = worker.asked()

    worker.seed.update_connection("c", refresh_token_encrypted="a new grant")
    await worker.tick_later()

    assert asked == ["c"]
    assert worker.refresher.calls[-1].token == "a new grant"
    assert worker.jobs() == ["c"]


async def test_15_requests_keep_their_distance_whatever_the_answers_are(worker: Worker) -> None:
    for number in range(20):
        worker.expiring(f"c{number}")
    for number in range(0, 18, 2):  # Too few for a wave, or for a provider that is down.
        worker.refresher.script(f"c{number}", INVALID_GRANT)
    for number in range(1, 9, 2):
        worker.refresher.script(f"c{number}", Refused("transient", "HTTP 502"))

    await worker.tick()

    at = [call.at for call in worker.refresher.calls]
    assert len(at) == 20
    assert min(after - before for before, after in pairwise(at)) >= 100
