"""Requests whose answer nobody saw: one replay, and a grant that was lost so is recorded apart."""

import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT, Lost
from clearlift_engine.events import RefreshReleased, RefreshStarted, SyncFailed, decode
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS, iso
from clearlift_engine.ports import Provider, Refused
from tests.given import DUE, NOW_MS, commit, take
from tests.worker import Worker

SILENT = Refused("transient", "no answer", ambiguous=True)
REFUSED = Refused("transient", "connection refused")
THROTTLED = Refused("throttled", "slow down", retry_after_ms=1)


async def claimed_by_a_dead_worker(worker: Worker, platform: str = "tiktok") -> None:
    """Add a connection whose refresh was claimed by a worker that did not come back."""
    worker.expiring("c", platform=platform)
    [sent] = await worker.world.vault.credentials(["c"])
    claim = RefreshStarted(
        provider=platform,
        send_at=NOW_MS - 60_000,
        lease_until=NOW_MS,
        credentials=sent.fingerprint,
    )
    await take(worker.world.store, commit("c", DUE, claim, at_ms=NOW_MS - 60_000))


def released(worker: Worker, version: int) -> RefreshReleased:
    row = worker.seed.rows("outbox")[version - 1]
    event = decode(row["transition"], row["data"])
    assert isinstance(event, RefreshReleased)
    return event


async def test_request_without_an_answer_is_sent_once_more_a_moment_later(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", SILENT)

    outcome = await worker.tick()

    first, second = worker.refresher.calls
    assert first.token == second.token
    assert 1_000 <= second.at - first.at <= 2_000
    assert (outcome.report.refreshed, outcome.report.failed) == (1, 0)


async def test_second_request_without_an_answer_is_the_last_of_its_tick(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", *[SILENT] * 5)

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert (event.failure_class, event.ambiguous, event.attempts) == ("transient", True, 2)
    assert len(worker.asked()) == 2


async def test_request_that_surely_did_not_arrive_is_not_sent_again(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", REFUSED)

    await worker.tick()

    assert len(worker.asked()) == 1


async def test_request_is_not_sent_again_over_the_budget(worker: Worker) -> None:
    worker = Worker(worker.world, [Provider("facebook", Rate(1, HOUR_MS))])
    worker.expiring("c", platform="facebook")
    worker.refresher.script("c", SILENT)

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert (event.attempts, len(worker.asked())) == (1, 1)


async def test_replay_takes_a_slot_of_its_own(worker: Worker) -> None:
    worker = Worker(worker.world, [Provider("google", Rate(1, 4_000))])
    worker.expiring("c")
    worker.refresher.script("c", SILENT)

    await worker.tick()

    first, second = worker.refresher.calls
    assert second.at - first.at == 4_000


@pytest.mark.parametrize(
    ("platform", "code"), [("tiktok", "rotation_lost"), ("google", "invalid_grant")]
)
async def test_grant_that_is_dead_after_a_lost_answer_is_our_loss_where_tokens_rotate(
    worker: Worker, platform: str, code: str
) -> None:
    worker.expiring("c", platform=platform)
    worker.refresher.script("c", SILENT, INVALID_GRANT)

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert (event.failure_class, event.code, event.retry_at) == ("permanent", code, None)
    assert worker.marked() == ["c"]


async def test_provider_that_rotated_before_its_answer_was_lost_ends_as_rotation_lost(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    worker.refresher.script("c", Lost())

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert event.code == "rotation_lost"
    assert len(worker.asked()) == 2


async def test_dead_lease_is_released_and_asked_for_once_more(worker: Worker) -> None:
    await claimed_by_a_dead_worker(worker)

    await worker.tick()

    assert worker.life("c")[2:] == ["refresh_released", "refresh_started", "job_created"]
    event = released(worker, 3)
    assert (event.reason, event.ambiguous) == ("lease_expired", True)
    assert worker.asked() == ["c"]


async def test_lease_that_runs_still_hides_its_connection(worker: Worker) -> None:
    await claimed_by_a_dead_worker(worker)
    worker.clock.now_ms = NOW_MS - 1

    outcome = await worker.tick()

    assert (outcome.report.due, worker.asked()) == (0, [])


async def test_token_that_a_dead_worker_had_spent_is_recorded_as_rotation_lost(
    worker: Worker,
) -> None:
    await claimed_by_a_dead_worker(worker)
    worker.refresher.script("c", INVALID_GRANT)

    await worker.tick()
    await worker.tick_later(HOUR_MS)

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert (event.code, worker.asked()) == ("rotation_lost", ["c"])


@pytest.mark.parametrize(
    "between", [THROTTLED, REFUSED, Refused("configuration", "invalid_client")]
)
async def test_doubt_outlives_an_answer_that_says_nothing_about_the_grant(
    worker: Worker, between: Refused
) -> None:
    await claimed_by_a_dead_worker(worker)
    worker.refresher.script("c", between, INVALID_GRANT)

    await worker.tick()
    await worker.tick_later()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert event.code == "rotation_lost"


async def test_doubt_outlives_a_replay_that_was_throttled(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    worker.refresher.script("c", SILENT, THROTTLED, INVALID_GRANT)

    await worker.tick()
    await worker.tick_later()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert event.code == "rotation_lost"


async def test_doubt_ends_when_the_user_reconnects(worker: Worker) -> None:
    await claimed_by_a_dead_worker(worker)
    worker.seed.update_connection("c", refresh_token_encrypted="new")
    worker.refresher.script("c", INVALID_GRANT)

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert event.code == "invalid_grant"


async def test_crowd_that_one_killed_worker_leaves_behind_is_no_wave(worker: Worker) -> None:
    for number in range(15):
        worker.expiring(f"c{number}", platform="tiktok", expires_at=iso(NOW_MS))
        worker.refresher.script(f"c{number}", SILENT, INVALID_GRANT)
    worker.expiring("healthy", platform="tiktok")

    outcome = await worker.tick()

    assert outcome.report.failed == len(worker.marked()) == 15
    assert worker.jobs() == ["healthy"]
