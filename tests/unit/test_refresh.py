"""The requests for new tokens: who is asked for, when, how often, and what is stored."""

import asyncio

import pytest

from clearlift_engine.events import JobCreated, RefreshStarted
from clearlift_engine.pacing import Gate, Rate
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from clearlift_engine.ports import Provider, Refused
from tests.given import NOW_MS, ago, job_commit, plain, take
from tests.seed import Value
from tests.watched import Side, once
from tests.worker import FACEBOOK, TIKTOK, Worker

THROTTLED = Refused("throttled", "slow down", retry_after_ms=HOUR_MS)
DOWN = Refused("transient", "HTTP 503", ambiguous=False)


@pytest.mark.parametrize(("margin_ms", "asked"), [(-1, True), (0, False)])
async def test_token_is_refreshed_if_it_ends_before_the_margin_does(
    worker: Worker, margin_ms: int, *, asked: bool
) -> None:
    worker.seed.add_connection("c", expires_at=iso(NOW_MS + 5 * MINUTE_MS + margin_ms))

    outcome = await worker.tick()

    assert worker.asked() == (["c"] if asked else [])
    assert (outcome.report.refreshed, outcome.report.jobs_created) == (int(asked), 1)


@pytest.mark.parametrize("expires_at", ["", "garbage", "now", plain(ago(days=900))])
async def test_token_that_may_have_expired_is_refreshed(worker: Worker, expires_at: str) -> None:
    worker.expiring("c", expires_at=expires_at)

    await worker.tick()

    assert worker.asked() == worker.jobs() == ["c"]
    assert worker.connection("c")["expires_at"] == iso(NOW_MS + HOUR_MS)


async def test_refresh_is_a_life_of_four_steps_and_its_job_tells_how_it_went(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    worker.refresher.latency_ms = 120

    await worker.tick()

    assert worker.life("c") == ["fell_due", "refresh_started", "job_created"]
    event = worker.last("c")
    assert isinstance(event, JobCreated)
    assert event.refresh is not None
    assert (event.refresh.provider, event.refresh.rotated) == ("tiktok", True)
    assert (event.refresh.attempts, event.refresh.latency_ms) == (1, 120)


@pytest.mark.parametrize(
    ("platform", "sent", "refresh_token"),
    [
        ("google", "refresh of c", "refresh of c"),
        ("tiktok", "refresh of c", "refresh-1"),
        ("facebook", "access of c", None),
    ],
)
async def test_each_platform_sends_what_it_has_and_stores_what_it_got(
    worker: Worker, platform: str, sent: str, refresh_token: str | None
) -> None:
    theirs: Value = None if platform == "facebook" else "refresh of c"
    worker.expiring("c", platform=platform, refresh_token_encrypted=theirs)

    await worker.tick()

    row = worker.connection("c")
    assert [call.token for call in worker.refresher.calls] == [sent]
    assert row["credentials_encrypted"] == "access-1"
    assert row["refresh_token_encrypted"] == refresh_token
    assert row["expires_at"] == iso(NOW_MS + HOUR_MS)


async def test_claim_is_durable_before_the_request_leaves(worker: Worker) -> None:
    worker.expiring("c")
    seen: list[object] = []

    async def look() -> None:
        seen.append((worker.state("c"), worker.life("c")))

    worker.watch = once("refresher.refresh", "before", look)
    await worker.tick()

    assert seen == [("refreshing", ["fell_due", "refresh_started"])]


async def test_rotated_token_and_its_job_appear_at_one_instant(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    seen: list[object] = []

    async def watch(name: str, side: Side) -> None:
        del name, side
        seen.append((worker.jobs(), worker.connection("c")["refresh_token_encrypted"]))

    worker.watch = watch
    await worker.tick()

    assert set(map(str, seen)) == {"([], 'refresh of c')", "(['c'], 'refresh-1')"}


async def test_lease_outlasts_two_requests_and_the_wait_between_them(worker: Worker) -> None:
    worker.expiring("c")

    async def look() -> None:
        event = worker.last("c")
        assert isinstance(event, RefreshStarted)
        assert event.lease_until - event.send_at > 2 * 10_000 + 10_000

    worker.watch = once("refresher.refresh", "before", look)
    await worker.tick()


async def test_overlapping_ticks_send_each_refresh_token_once(worker: Worker) -> None:
    async def watch(name: str, side: Side) -> None:
        del name, side
        await asyncio.sleep(0)

    worker.watch = watch
    for number in range(60):
        worker.expiring(f"c{number}", platform="tiktok")

    ticks = [asyncio.create_task(worker.tick()) for _ in range(8)]
    reports = [(await each).report for each in ticks]

    assert len(worker.asked()) == len(set(worker.asked())) == 60
    assert sum(report.refreshed for report in reports) == 60
    assert sum(report.failed for report in reports) == 0


@pytest.mark.parametrize(
    ("provider", "answer"),
    [
        (Provider("google", Rate(1, 100)), THROTTLED),
        (Provider("google", Rate(1, 100)), DOWN),
        (Provider("google", Rate(1, 100)), Refused("configuration", "invalid_client")),
        (Provider("google", Rate(1, HOUR_MS)), None),
        (Provider("google", Rate(1, 100), problem="GOOGLE_CLIENT_ID is not set"), None),
    ],
    ids=["throttled", "down", "misconfigured", "over budget", "unconfigured"],
)
@pytest.mark.parametrize(("lives_ms", "served"), [(5 * MINUTE_MS, True), (0, False)])
async def test_token_that_lives_five_minutes_more_gets_its_job_without_a_refresh(
    worker: Worker, provider: Provider, answer: Refused | None, lives_ms: int, *, served: bool
) -> None:
    worker = Worker(worker.world, [provider])
    worker.set_margin(HOUR_MS)
    for number in range(10):
        # A second more: a refresh that is tried takes time from a token that lives just so long.
        worker.expiring(f"c{number}", expires_at=iso(NOW_MS + lives_ms + 1_000 * bool(lives_ms)))
        worker.refresher.script(f"c{number}", *([answer] if answer else []))

    outcome = await worker.tick()

    unrefreshed = outcome.report.jobs_created - outcome.report.refreshed
    assert unrefreshed == (10 - outcome.report.refreshed if served else 0)
    assert outcome.report.failed == 0 or not served


async def test_run_that_is_told_to_stop_sends_nothing_more_and_keeps_what_it_has(
    worker: Worker,
) -> None:
    for number in range(30):
        worker.expiring(f"c{number}", platform="tiktok")
    worker.refresher.latency_ms = 250

    outcome = await worker.tick(should_stop=lambda: len(worker.asked()) >= 5)

    asked = worker.asked()
    assert sorted(worker.jobs()) == sorted(asked)
    assert 5 <= len(asked) < 15
    assert (outcome.report.refreshed, outcome.report.failed) == (len(asked), 0)
    assert {worker.state(f"c{number}") for number in range(30)} == {"job_created", "due"}


async def test_provider_may_ask_for_a_refresh_although_no_expiry_is_known(worker: Worker) -> None:
    acme = Provider("acme", Rate(1, 100), without_expiry="refresh")
    worker = Worker(worker.world, [acme])
    worker.seed.add_connection("c", platform="acme", expires_at=None)

    await worker.tick()

    assert worker.asked() == worker.jobs() == ["c"]


async def test_connection_deleted_before_its_request_is_left_out(worker: Worker) -> None:
    worker.expiring("c")
    worker.expiring("other")

    async def delete() -> None:
        worker.seed.delete_connection("c")

    worker.watch = once("vault.credentials", "before", delete)
    outcome = await worker.tick()

    assert worker.asked() == worker.jobs() == ["other"]
    assert outcome.report.due == 1


async def test_connection_that_became_fresh_before_its_claim_is_left_alone(worker: Worker) -> None:
    worker.expiring("c")

    async def reconnect() -> None:
        worker.seed.update_connection("c", expires_at=iso(NOW_MS + HOUR_MS))

    worker.watch = once("store.gate", "before", reconnect)
    outcome = await worker.tick()

    assert (worker.asked(), worker.jobs()) == ([], ["c"])
    assert (outcome.report.due, outcome.report.refreshed) == (1, 0)


async def test_connection_that_expires_between_plan_and_read_is_refreshed_in_the_same_tick(
    worker: Worker,
) -> None:
    worker.seed.add_connection("c")

    async def expire() -> None:
        worker.seed.update_connection("c", expires_at=iso(NOW_MS))

    worker.watch = once("store.candidates", "before", expire)
    await worker.tick()

    assert worker.asked() == worker.jobs() == ["c"]


async def test_unset_client_credentials_touch_no_connection(worker: Worker) -> None:
    missing = Provider("tiktok", TIKTOK.rate, rotates=True, problem="TIKTOK_APP_KEY is not set")
    worker = Worker(worker.world, [missing, FACEBOOK])
    worker.expiring("t", platform="tiktok")
    worker.expiring("f", platform="facebook")

    outcome = await worker.tick()

    assert outcome.problems == ["TIKTOK_APP_KEY is not set"]
    assert (worker.asked(), worker.jobs(), worker.marked()) == (["f"], ["f"], [])
    assert (outcome.report.deferred, outcome.report.failed) == (1, 0)


async def test_ids_too_long_for_a_message_cost_no_request(worker: Worker) -> None:
    worker.expiring("c", account_id="x" * 130_000)

    outcome = await worker.tick()

    assert (worker.asked(), worker.marked()) == ([], ["c"])
    assert outcome.report.failed == 1


async def test_claim_that_finds_the_gate_moved_looks_again(worker: Worker) -> None:
    for number in range(3):
        worker.expiring(f"c{number}")

    async def rival() -> None:
        await worker.world.store.append([], Gate("google", version=1, slots=(NOW_MS,)))

    worker.watch = once("store.append", "before", rival)
    await worker.tick()

    assert worker.asked() == worker.jobs() == ["c0", "c1", "c2"]
    assert [call.at - NOW_MS for call in worker.refresher.calls] == [100, 200, 300]


async def test_claim_that_a_rival_was_quicker_with_sends_nothing(worker: Worker) -> None:
    worker.expiring("c")
    worker.expiring("other")
    rival = job_commit("c", "theirs")
    worker.watch = once("store.append", "before", lambda: take(worker.world.store, rival))

    outcome = await worker.tick()

    assert worker.asked() == ["other"]
    assert outcome.report.refreshed == 1
    assert worker.heard("another worker took it") == [{"connection_id": "c"}]
