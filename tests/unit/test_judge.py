"""What becomes of a connection, of its provider and of the run after each kind of answer."""

from itertools import pairwise

import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT
from clearlift_engine.events import SyncFailed
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from clearlift_engine.ports import Provider, Refused
from clearlift_engine.refresh import LEASE_MS
from tests.given import NOW_MS
from tests.watched import Side, once
from tests.worker import TICK_MS, Worker

DOWN = Refused("transient", "HTTP 503; it will be tried again", code="503", latency_ms=80)
THROTTLED = Refused("throttled", "slow down", code="429")
MISCONFIGURED = Refused("configuration", "invalid_client; check GOOGLE_CLIENT_SECRET")
NO_KEY = Refused("configuration", "set ENCRYPTION_KEY", asked=False)
NO_TOKEN = Refused("permanent", "no refresh token stored", asked=False)
UNDECRYPTABLE = Refused("permanent", "opens with none", undecryptable=True, asked=False)


def failure(worker: Worker, connection_id: str) -> SyncFailed:
    event = worker.last(connection_id)
    assert isinstance(event, SyncFailed), event
    return event


def many(worker: Worker, size: int) -> list[str]:
    """Add connections that expire."""
    names = [f"c{number:02}" for number in range(size)]
    for name in names:
        worker.expiring(name)
    return names


async def test_transient_failure_is_tried_again_by_the_next_tick(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DOWN)

    outcome = await worker.tick()
    event, row = failure(worker, "c"), dict(worker.connection("c"))
    await worker.tick_later()

    assert [each.failure_class for each in outcome.report.failures] == ["transient"]
    assert (event.code, event.provider, event.latency_ms) == ("503", "google", 80)
    assert row["sync_status"] == "failed"
    assert row["sync_error"] == "Token refresh failed: HTTP 503; it will be tried again"
    assert (worker.jobs(), worker.marked()) == (["c"], [])
    assert worker.connection("c")["sync_error"] is None


async def test_next_tick_retries_however_long_this_one_took(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DOWN)
    worker.refresher.latency_ms = 9 * MINUTE_MS

    await worker.tick()

    assert failure(worker, "c").retry_at in range(NOW_MS, NOW_MS + TICK_MS)


async def test_backoff_doubles_to_six_hours_and_never_gives_up(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.outages["google"] = DOWN
    waits: list[int] = []

    for _ in range(10):
        now_ms = worker.clock.now()
        await worker.tick()
        waits.append((failure(worker, "c").retry_at or 0) - now_ms)
        worker.clock.now_ms = now_ms + waits[-1]

    longest = [min(TICK_MS * 2**number, 6 * HOUR_MS) for number in range(10)]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len(set(waits)) == len(waits)


async def test_connection_that_waits_for_its_retry_is_left_alone(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DOWN)
    await worker.tick()

    worker.clock.now_ms = (failure(worker, "c").retry_at or 0) - 1
    early = await worker.tick()
    worker.clock.now_ms += 1
    await worker.tick()

    assert early.report.due == 0
    assert worker.asked() == ["c", "c"]


async def test_fifth_transient_failure_in_a_row_ends_the_requests_to_its_provider(
    worker: Worker,
) -> None:
    names = many(worker, 100)
    worker.expiring("other", platform="tiktok")
    worker.refresher.outages["google"] = DOWN

    outcome = await worker.tick()

    assert worker.asked().count("other") == 1
    assert len(worker.asked()) == 6
    assert worker.jobs() == ["other"]
    assert (outcome.report.failed, outcome.report.deferred) == (5, 95)
    assert [worker.state(name) for name in names] == ["failed"] * 5 + ["due"] * 95


async def test_provider_that_is_down_is_probed_once_a_tick_and_then_everybody_is_served(
    worker: Worker,
) -> None:
    names = many(worker, 100)
    worker.refresher.outages["google"] = DOWN
    asked = [0]
    for _ in range(5):
        await worker.tick()
        asked.append(len(worker.asked()))
        worker.clock.now_ms += TICK_MS

    worker.refresher.outages.clear()
    await worker.tick()
    await worker.tick_later(6 * HOUR_MS)

    assert [later - earlier for earlier, later in pairwise(asked)] == [5, 1, 1, 1, 1]
    assert sorted(worker.jobs()) == names
    assert worker.marked() == []


async def test_probe_of_a_dead_grant_shows_the_provider_to_be_well(worker: Worker) -> None:
    names = many(worker, 20)
    worker.refresher.outages["google"] = DOWN
    await worker.tick()
    worker.refresher.outages.clear()
    for name in names[6:]:
        worker.seed.update_connection(name, is_active=0)
    worker.refresher.script(names[5], INVALID_GRANT)  # The five before it wait for their retry.
    await worker.tick_later(1)

    for name in names[6:]:
        worker.seed.update_connection(name, is_active=1)
    await worker.tick_later(1)

    assert failure(worker, names[5]).failure_class == "permanent"
    assert sorted(worker.jobs()) == names[6:]


async def test_lone_transient_failures_do_not_add_up(worker: Worker) -> None:
    names = many(worker, 30)
    for name in names[::3]:
        worker.refresher.script(name, DOWN)

    outcome = await worker.tick()

    assert (outcome.report.failed, outcome.report.refreshed) == (10, 20)


@pytest.mark.parametrize(
    ("asks_ms", "pause_ms"), [(HOUR_MS, HOUR_MS), (None, MINUTE_MS), (0, MINUTE_MS)]
)
async def test_provider_that_throttles_is_left_alone_as_long_as_it_asks(
    worker: Worker, asks_ms: int | None, pause_ms: int
) -> None:
    names = many(worker, 30)
    worker.refresher.script(names[0], Refused("throttled", "slow down", retry_after_ms=asks_ms))

    outcome = await worker.tick()
    asked = len(worker.asked())
    worker.clock.now_ms = NOW_MS + pause_ms - 1
    await worker.tick()

    assert asked == len(worker.asked()) == 1
    assert (outcome.report.failed, outcome.report.deferred) == (0, 30)
    assert (worker.marked(), outcome.problems) == ([], [])
    worker.clock.now_ms = NOW_MS + pause_ms
    await worker.tick()
    assert sorted(worker.jobs()) == names


async def test_dead_grant_is_asked_for_once_and_not_again_before_its_user_reconnects(
    worker: Worker,
) -> None:
    worker.expiring("c")
    worker.refresher.script("c", INVALID_GRANT)

    outcome = await worker.tick()
    for _ in range(5):
        await worker.tick_later(6 * HOUR_MS)

    assert [each.failure_class for each in outcome.report.failures] == ["permanent"]
    assert (worker.asked(), worker.marked()) == (["c"], ["c"])
    assert failure(worker, "c").retry_at is None
    worker.seed.update_connection("c", refresh_token_encrypted="new", expires_at=iso(NOW_MS))
    await worker.tick_later()
    assert [call.token for call in worker.refresher.calls] == ["refresh of c", "new"]
    assert (worker.jobs(), worker.marked()) == (["c"], [])


async def test_verdict_on_credentials_that_are_no_longer_stored_is_not_believed(
    worker: Worker,
) -> None:
    worker.expiring("c")
    worker.refresher.script("c", INVALID_GRANT)

    async def reconnect() -> None:
        worker.seed.update_connection("c", refresh_token_encrypted="new")

    worker.watch = once("refresher.refresh", "after", reconnect)
    first = await worker.tick()
    await worker.tick_later()

    assert (first.report.failed, first.report.deferred) == (0, 1)
    assert worker.life("c")[:3] == ["fell_due", "refresh_started", "refresh_released"]
    assert (worker.jobs(), worker.marked()) == (["c"], [])


async def test_verdict_on_a_connection_that_was_deleted_marks_nobody(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", INVALID_GRANT)

    async def delete() -> None:
        worker.seed.delete_connection("c")

    worker.watch = once("refresher.refresh", "after", delete)
    outcome = await worker.tick()

    assert outcome.report.failed == 0


async def test_connection_without_a_usable_token_fails_for_good_and_alone(worker: Worker) -> None:
    names = many(worker, 30)
    for name in names[:15]:
        worker.refresher.script(name, NO_TOKEN)

    outcome = await worker.tick()

    assert worker.marked() == names[:15]
    assert sorted(worker.jobs()) == names[15:]
    assert {each.failure_class for each in outcome.report.failures} == {"permanent"}


@pytest.mark.parametrize("answer", [MISCONFIGURED, NO_KEY])
async def test_wrong_configuration_marks_nobody_and_says_what_to_put_right(
    worker: Worker, answer: Refused
) -> None:
    names = many(worker, 50)
    worker.expiring("other", platform="tiktok")
    worker.refresher.outages["google"] = answer

    outcomes = [await worker.tick(), await worker.tick_later()]

    assert [each.problems for each in outcomes] == [[answer.message]] * 2
    assert len(worker.heard("configuration")) == 2
    assert (worker.jobs(), worker.marked()) == (["other"], [])
    assert outcomes[0].report.deferred == 50
    assert len(worker.asked()) == 3
    worker.refresher.outages.clear()
    await worker.tick_later()
    assert sorted(worker.jobs()) == [*names, "other"]


async def test_wrong_encryption_key_marks_nobody_and_is_named(worker: Worker) -> None:
    many(worker, 30)
    worker.expiring("other", platform="tiktok")
    worker.seed.add_connection("lasting")
    worker.refresher.key_is_right = False

    outcome = await worker.tick()

    assert len(outcome.problems) == 1
    assert "ENCRYPTION_KEY" in outcome.problems[0]
    assert (worker.jobs(), worker.marked()) == (["lasting"], [])
    worker.refresher.key_is_right = True
    await worker.tick_later()
    assert len(worker.jobs()) == 32


@pytest.mark.parametrize("place", [0, 5])
async def test_one_row_that_no_key_opens_fails_alone(worker: Worker, place: int) -> None:
    names = many(worker, 10)
    worker.refresher.script(names[place], UNDECRYPTABLE)

    outcome = await worker.tick()

    assert (worker.marked(), outcome.problems) == ([names[place]], [])
    assert failure(worker, names[place]).retry_at is None
    assert len(worker.jobs()) == 9


async def test_rows_that_no_key_opens_ask_for_one_sample_at_most(worker: Worker) -> None:
    names = many(worker, 10)
    samples: list[str] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("vault.sample", "before"):
            samples.append(name)

    worker.watch = watch
    worker.refresher.outages["google"] = UNDECRYPTABLE
    await worker.tick()

    assert worker.marked() == names
    assert len(samples) == 1


async def test_dead_grants_are_marked_before_the_last_answer_is_in(worker: Worker) -> None:
    names = many(worker, 60)
    for name in names[:3]:
        worker.refresher.script(name, INVALID_GRANT)
    marked: list[int] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("refresher.refresh", "before"):
            marked.append(len(worker.marked()))

    worker.watch = watch
    await worker.tick()

    assert (marked[0], marked[-1]) == (0, 3)


async def test_probe_is_one_request_even_if_its_answer_is_lost(worker: Worker) -> None:
    many(worker, 20)
    worker.refresher.outages["google"] = DOWN
    await worker.tick()
    before = len(worker.asked())

    worker.refresher.outages["google"] = Refused("transient", "no answer", ambiguous=True)
    await worker.tick_later()

    assert len(worker.asked()) == before + 1


async def test_probe_whose_verdict_is_stale_was_the_probe_of_its_tick(worker: Worker) -> None:
    names = many(worker, 20)
    worker.refresher.outages["google"] = DOWN
    await worker.tick()
    before = len(worker.asked())

    async def reconnect() -> None:
        for name in names:
            worker.seed.update_connection(name, refresh_token_encrypted="new")

    worker.refresher.outages["google"] = INVALID_GRANT
    worker.watch = once("refresher.refresh", "after", reconnect)
    await worker.tick_later(1)

    assert len(worker.asked()) == before + 1


async def test_verdict_is_not_held_until_its_lease_runs_out(worker: Worker) -> None:
    worker = Worker(worker.world, [Provider("google", Rate(1, 9_000))])
    names = many(worker, 12)
    worker.refresher.script(names[0], INVALID_GRANT)
    await worker.tick()

    [row] = [row for row in worker.seed.rows("outbox") if row["transition"] == "sync_failed"]

    assert row["connection_id"] == names[0]
    assert row["occurred_at"] < NOW_MS + LEASE_MS
