"""Defects 3, 7, 11, 12, 17, 18 and 20: what is due is found, and nothing else is."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.events import FellDue, JobCreated, decode
from clearlift_engine.policy import HOUR_MS, iso
from clearlift_engine.run import TickSettings
from tests.given import ago, plain
from tests.sqlite.counted import Counted, fill
from tests.worker import Worker

if TYPE_CHECKING:
    from sqlite3 import Connection

_IN_THE_GUIDE = (
    "SELECT count(*) FROM sync_jobs WHERE created_at >= datetime(?, 'unixepoch', '-1 hour')"
)
_IN_THE_LOG = "SELECT count(*) FROM outbox WHERE transition = 'job_created' AND occurred_at >= ?"


async def test_03_times_in_both_formats_are_compared_as_times(worker: Worker) -> None:
    for hours in (2, 5, 9):  # All of them on the day that it is now: only 'T' > ' ' differs.
        worker.seed.add_connection(f"T {hours}", last_synced_at=iso(ago(hours=hours)))
        worker.seed.add_connection(f"plain {hours}", last_synced_at=plain(ago(hours=hours)))
    worker.seed.add_connection("T fresh", last_synced_at=iso(ago(minutes=59)))
    worker.seed.add_connection("plain fresh", last_synced_at=plain(ago(minutes=59)))

    await worker.tick()

    overdue = [f"{kind} {hours}" for hours in (2, 5, 9) for kind in ("T", "plain")]
    assert sorted(worker.jobs()) == sorted(overdue)


async def test_07_hundred_broken_rows_do_not_keep_the_healthy_ones_waiting(worker: Worker) -> None:
    for number in range(100):
        worker.expiring(
            f"broken {number}", platform="unheard of", last_synced_at=plain(ago(days=30))
        )
    for name in ("a", "b", "c"):
        worker.seed.add_connection(name, last_synced_at=plain(ago(hours=2)))
    worker.settings = TickSettings(limit=100)

    for _ in range(4):
        await worker.tick_later()

    assert sorted(worker.jobs()) == ["a", "b", "c"]


async def test_07_slow_consumer_does_not_get_the_same_hundred_again(worker: Worker) -> None:
    for number in range(250):
        worker.seed.add_connection(f"c{number:03}", last_synced_at=plain(ago(hours=2)))
    worker.settings = TickSettings(limit=100)

    for _ in range(3):
        await worker.tick_later()
        await worker.relay()

    assert sorted(worker.jobs()) == [f"c{number:03}" for number in range(250)]


async def test_07_tick_without_a_limit_serves_all_that_is_due(worker: Worker) -> None:
    for number in range(250):
        worker.seed.add_connection(f"c{number:03}")
    worker.settings = TickSettings(batch=100)

    await worker.tick()

    assert len(worker.jobs()) == 250


async def test_11_row_without_a_sync_status_is_due_like_any_other(worker: Worker) -> None:
    worker.seed.add_connection("never synced", sync_status=None)
    worker.seed.add_connection("overdue", sync_status=None, last_synced_at=plain(ago(hours=2)))

    await worker.tick()

    assert sorted(worker.jobs()) == ["never synced", "overdue"]


async def test_12_consumer_that_died_holds_a_connection_for_the_job_time_limit_only(
    worker: Worker,
) -> None:
    for name, since in (("stuck", ago(days=30)), ("busy", ago(days=3))):
        worker.seed.add_connection(name, sync_status="syncing", last_synced_at=plain(since))
        worker.seed.add_job(
            f"job of {name}", name, status="running", created_at=plain(since), started_at=iso(since)
        )
    worker.seed.add_connection("no job", sync_status="syncing", last_synced_at=iso(ago(days=30)))

    await worker.tick()

    assert sorted(worker.jobs()) == ["no job", "stuck"]
    superseded = worker.heard("superseded")
    assert [said["job_id"] for said in superseded] == ["job of stuck"]
    events = [decode(row["transition"], row["data"]) for row in worker.seed.rows("outbox")]
    found = {event.superseded_job_id for event in events if isinstance(event, FellDue)}
    assert found == {"job of stuck", None}


async def test_17_last_sync_that_is_no_time_counts_as_never(worker: Worker) -> None:
    for text in ("garbage", "", "2026-99-99", "now", "0"):
        worker.seed.add_connection(f"c {text}", last_synced_at=text)

    outcome = await worker.tick()

    assert (outcome.report.failed, len(worker.jobs())) == (0, 5)
    event = worker.last("c garbage")
    assert isinstance(event, JobCreated)
    assert event.message.job_type == "full"
    assert len(worker.heard("last_synced_at is not a time")) == 5


async def test_18_jobs_of_the_last_hour_are_counted_by_numbers_and_not_by_letters(
    worker: Worker, raw: "Connection"
) -> None:
    for name in ("a", "b", "c"):
        worker.seed.add_connection(name)
    await worker.tick()
    later_ms = worker.clock.now_ms + 3 * HOUR_MS

    [(as_text,)] = raw.execute(_IN_THE_GUIDE, [later_ms // 1000]).fetchall()
    [(as_numbers,)] = raw.execute(_IN_THE_LOG, [later_ms - HOUR_MS]).fetchall()

    assert as_text == 3  # What the guide's own monitoring would go on to say.
    assert as_numbers == 0


async def test_18_age_of_an_open_job_is_compared_as_a_time(worker: Worker) -> None:
    for minutes in (-1, 1):
        since = ago(days=4, minutes=minutes)
        for kind, text in (("T", iso(since)), ("plain", plain(since))):
            name = f"{kind} {minutes}"
            worker.seed.add_connection(name)
            worker.seed.add_job(f"job of {name}", name, created_at=text)

    await worker.tick()

    assert sorted(worker.jobs()) == ["T 1", "plain 1"]


async def test_20_finding_nothing_in_five_thousand_rows_reads_next_to_nothing(
    worker: Worker, tmp_path: Path
) -> None:
    file = tmp_path / "clearlift.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        fill(raw, connections=5_000)

    async with Counted(file) as counted:
        worker.world = replace(worker.world, store=counted.store)
        outcome = await worker.tick()

    assert outcome.report.due == 0
    assert counted.hundreds < 20  # Steps; a row takes some ten, so all of them would be 500.
