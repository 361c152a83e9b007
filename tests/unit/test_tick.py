"""tick over connections whose tokens last: what is due gets one job, whatever else lies about."""

import asyncio

import msgspec
import pytest

from clearlift_engine.events import FellDue, JobCreated, SyncFailed
from clearlift_engine.policy import DAY_MS, iso
from clearlift_engine.run import TickSettings
from tests.given import ENQUEUED, NOW_MS, ago, commit, created, job_commit, plain, take
from tests.seed import Value
from tests.watched import Side, once
from tests.worker import Worker


async def test_first_sync_is_full_reaches_back_seven_days_and_goes_first(worker: Worker) -> None:
    worker.seed.add_connection("c")

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, JobCreated)
    window = event.message.sync_window
    assert (window.start, window.end) == (iso(NOW_MS - 7 * DAY_MS), iso(NOW_MS))
    assert (event.message.job_type, event.message.metadata.priority) == ("full", "high")
    assert worker.connection("c")["last_synced_at"] is None


async def test_later_sync_is_incremental_from_the_last_one_on(worker: Worker) -> None:
    worker.seed.add_connection("c", last_synced_at=plain(ago(hours=3)))

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, JobCreated)
    window = event.message.sync_window
    assert (window.start, window.end) == (iso(ago(hours=3)), iso(NOW_MS))
    assert (event.message.job_type, event.message.metadata.priority) == ("incremental", "normal")


async def test_job_row_and_message_say_the_same_to_the_byte(worker: Worker) -> None:
    worker.seed.add_connection("c", last_synced_at=plain(ago(hours=3)))

    outcome = await worker.tick()

    [row] = worker.seed.rows("sync_jobs")
    assert (row["id"], row["status"], row["job_type"]) == ("job-1", "pending", "incremental")
    assert row["created_at"] == iso(NOW_MS)
    assert msgspec.json.decode(row["metadata"]) == {
        "platform": "google",
        "account_id": "account of c",
        "sync_window": {"type": "incremental", "start": iso(ago(hours=3)), "end": iso(NOW_MS)},
        "created_by": "cron-worker",
        "run_id": outcome.report.run_id,
    }


async def test_nothing_due_is_an_empty_report(worker: Worker) -> None:
    worker.seed.add_connection("fresh", last_synced_at=iso(ago(minutes=59)))
    worker.seed.add_connection("inactive", is_active=0)

    outcome = await worker.tick()

    report = outcome.report
    assert (report.due, report.jobs_created, report.failed, report.deferred) == (0, 0, 0, 0)
    assert outcome.problems == []
    assert worker.seed.rows("outbox") == []


async def test_second_tick_finds_nothing_while_the_jobs_are_open(worker: Worker) -> None:
    for number in range(10):
        worker.seed.add_connection(f"c{number}")

    first, second = await worker.tick(), await worker.tick_later()
    await worker.relay()
    third = await worker.tick_later()

    assert (first.report.jobs_created, second.report.due, third.report.due) == (10, 0, 0)


@pytest.mark.parametrize("status", ["pending", "running"])
async def test_open_job_of_somebody_else_holds_its_connection(worker: Worker, status: str) -> None:
    worker.seed.add_connection("c")
    worker.seed.add_job("theirs", "c", status=status, created_at=plain(ago(days=3)))

    await worker.tick()

    assert worker.jobs() == []


@pytest.mark.parametrize("expires_at", [None, iso(NOW_MS)], ids=["lasting", "expired"])
async def test_stuck_job_is_superseded_and_the_log_says_which(
    worker: Worker, expires_at: str | None
) -> None:
    worker.seed.add_connection("c", sync_status="syncing", expires_at=expires_at)
    worker.seed.add_job("stuck", "c", status="running", created_at=plain(ago(days=4)))

    await worker.tick()

    assert worker.jobs() == ["c"]
    [said] = worker.heard("superseded")
    assert (said["connection_id"], said["job_id"]) == ("c", "stuck")
    first = msgspec.json.decode(worker.seed.rows("outbox")[0]["data"], type=FellDue)
    assert first.superseded_job_id == "stuck"


@pytest.mark.parametrize("status", [None, "pending", "completed", "failed", "what?", ""])
async def test_sync_status_that_is_not_syncing_holds_nobody(
    worker: Worker, status: str | None
) -> None:
    worker.seed.add_connection("c", sync_status=status)

    await worker.tick()

    assert worker.jobs() == ["c"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"scopes": "not JSON"}, "scopes is not JSON"),
        ({"sync_status": "what?"}, "sync_status is unknown"),
        ({"last_synced_at": ""}, "last_synced_at is not a time"),
        ({"last_synced_at": "soon", "expires_at": iso(NOW_MS)}, "last_synced_at is not a time"),
        ({"expires_at": "never"}, "expires_at is not a time"),
        ({"expires_at": "never", "platform": "stripe"}, "expires_at is not a time"),
    ],
)
async def test_odd_row_is_served_and_named_once(
    worker: Worker, columns: dict[str, Value], said: str
) -> None:
    worker.seed.add_connection("odd", **columns)

    await worker.tick()

    assert worker.jobs() == ["odd"]
    assert worker.heard(said) == [{"connection_id": "odd"}]


async def test_every_odd_row_in_one_database_keeps_nobody_waiting(worker: Worker) -> None:
    rows: list[dict[str, Value]] = [
        {"last_synced_at": "garbage", "scopes": "{", "sync_status": None},
        {"platform": "myspace", "expires_at": iso(ago(days=1))},
        {"credentials_encrypted": None, "refresh_token_encrypted": None},
        {"credentials_encrypted": b"\xff\xfe", "scopes": "x" * 2_000_000},
        {"account_id": "a" * 200_000},
        {"last_synced_at": iso(NOW_MS + DAY_MS)},
    ]
    for number, columns in enumerate(rows):
        worker.seed.add_connection(f"odd '{number}' %\n", **columns)
    for number in range(10):
        worker.seed.add_connection(f"c{number}")

    outcome = await worker.tick()

    assert set(worker.jobs()) >= {f"c{number}" for number in range(10)}
    assert (outcome.report.jobs_created, outcome.report.failed) == (13, 2)


async def test_thousands_are_served_in_batches_of_one_transaction_each(worker: Worker) -> None:
    appends: list[str] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before"):
            appends.append(name)

    worker.watch = watch
    for number in range(2_100):
        worker.seed.add_connection(f"c{number}")

    outcome = await worker.tick()

    assert outcome.report.jobs_created == len(set(worker.jobs())) == 2_100
    assert len(appends) == 5


async def test_short_budget_is_shared_fairly_between_organisations(worker: Worker) -> None:
    for number in range(50):
        worker.seed.add_connection(f"big {number}", organization_id="big")
    worker.seed.add_connection("small", organization_id="small")
    worker.settings = TickSettings(limit=3)

    outcome = await worker.tick()

    assert outcome.report.due == 3
    assert sorted(worker.jobs()) == ["big 0", "big 1", "small"]


async def test_run_that_is_told_to_stop_begins_no_further_batch(worker: Worker) -> None:
    for number in range(10):
        worker.seed.add_connection(f"c{number}")
    worker.settings = TickSettings(batch=3)

    outcome = await worker.tick(should_stop=lambda: len(worker.jobs()) >= 3)

    assert outcome.report.jobs_created == len(worker.jobs()) == 3
    assert worker.heard("stopping early") == [{"left": 7}]


async def test_run_that_is_told_to_stop_begins_no_batch_of_what_never_expires(
    worker: Worker,
) -> None:
    for number in range(10):
        worker.expiring(f"c{number}", platform="stripe")
    worker.settings = TickSettings(batch=3)

    await worker.tick(should_stop=lambda: len(worker.jobs()) >= 3)

    assert len(worker.jobs()) == 3


async def test_row_that_the_database_refuses_fails_alone(worker: Worker) -> None:
    for number in range(3):
        worker.seed.add_connection(f"c{number}")
    worker.seed.add_connection("orphan", organization_id="gone")
    worker.seed.remove_organization("gone")

    outcome = await worker.tick()

    assert worker.jobs() == ["c0", "c1", "c2"]
    assert [each.connection_id for each in outcome.report.failures] == ["orphan"]
    assert worker.connection("orphan")["sync_error"].startswith("Job could not be queued: ")
    event = worker.last("orphan")
    assert isinstance(event, SyncFailed)
    assert event.failure_class == "invalid"


async def test_ids_too_long_for_a_message_fail_their_connection_until_later(
    worker: Worker,
) -> None:
    worker.seed.add_connection("c", account_id="\N{GRINNING FACE}" * 40_000)

    await worker.tick()
    await worker.tick_later(1)
    await worker.tick_later()

    assert worker.life("c") == ["fell_due", "sync_failed", "fell_due", "sync_failed"]
    assert "too long" in worker.connection("c")["sync_error"]


async def test_long_ids_that_just_fit_are_served(worker: Worker) -> None:
    worker.seed.add_connection("c", account_id="a" * 120_000)

    await worker.tick()

    assert worker.jobs() == ["c"]


async def test_platform_that_nobody_declared_is_served_while_its_token_lasts(
    worker: Worker,
) -> None:
    worker.seed.add_connection("lasting", platform="myspace")
    worker.expiring("expired", platform="myspace")

    await worker.tick()

    assert worker.jobs() == ["lasting"]
    error = worker.connection("expired")["sync_error"]
    assert error.startswith("Token refresh failed: ")
    assert "myspace" in error


async def test_stripe_is_never_refreshed_whatever_its_expiry_says(worker: Worker) -> None:
    worker.seed.add_connection("c", platform="stripe", expires_at=iso(ago(days=9)))

    await worker.tick()

    assert (worker.jobs(), worker.asked()) == (["c"], [])


async def test_tiktok_without_an_expiry_is_not_refreshed(worker: Worker) -> None:
    worker.seed.add_connection("c", platform="tiktok", expires_at=None)

    await worker.tick()

    assert (worker.jobs(), worker.asked()) == (["c"], [])


async def test_stream_that_a_rival_moved_after_the_read_is_lost_and_counted_nowhere(
    worker: Worker,
) -> None:
    worker.seed.add_connection("c")
    worker.seed.add_connection("other")
    rival = job_commit("c", "theirs")
    worker.watch = once("store.append", "before", lambda: take(worker.world.store, rival))

    outcome = await worker.tick()

    report = outcome.report
    assert (report.jobs_created, report.failed, report.deferred) == (1, 0, 0)
    assert worker.heard("another worker took it") == [{"connection_id": "c"}]
    assert worker.life("c") == ["fell_due", "job_created"]


async def test_overlapping_ticks_make_one_job_each(worker: Worker) -> None:
    async def watch(name: str, side: Side) -> None:
        del name, side
        await asyncio.sleep(0)

    worker.watch = watch
    for number in range(100):
        worker.seed.add_connection(f"c{number}")

    outcomes = [asyncio.create_task(worker.tick()) for _ in range(4)]
    made = [(await outcome).report.jobs_created for outcome in outcomes]

    assert sum(made) == len(worker.jobs()) == len(set(worker.jobs())) == 100


async def test_connection_that_we_marked_failed_is_unmarked_by_its_next_job(
    worker: Worker,
) -> None:
    worker.seed.add_connection("c", organization_id="gone")
    worker.seed.remove_organization("gone")
    await worker.tick()
    assert worker.marked() == ["c"]
    worker.seed.add_organization("gone")

    await worker.tick_later()

    row = worker.connection("c")
    assert worker.jobs() == ["c"]
    assert (row["sync_status"], row["sync_error"]) == ("pending", None)


async def test_next_cycle_begins_when_the_consumer_is_done(worker: Worker) -> None:
    done = commit("c", FellDue(reason="never_synced", last_synced_at=None), created("c"), ENQUEUED)
    worker.seed.add_connection("c", last_synced_at=iso(ago(minutes=30)))
    await take(worker.world.store, done)

    early, late = await worker.tick(), await worker.tick_later(31 * 60_000)

    assert (early.report.due, late.report.jobs_created) == (0, 1)
    assert worker.life("c")[-2:] == ["fell_due", "job_created"]
