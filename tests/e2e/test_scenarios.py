"""Four things that the worker is for, each from an empty database to the message in the queue."""

from typing import Final

from clearlift_engine.policy import DAY_MS, HOUR_MS, MINUTE_MS, iso
from tests.e2e.authority import LIFETIME_S, Authority
from tests.e2e.export import moment
from tests.e2e.program import Program, connect
from tests.given import NOW_MS, ago, plain

SYNCED: Final = plain(ago(hours=2))


async def test_a_fresh_connection_gets_a_full_job_of_seven_days_at_once(program: Program) -> None:
    grant = ("--organization", "acme", "--account-id", "1", "--expires-at", iso(NOW_MS + HOUR_MS))
    added = await program.done("connections", "add", "google", *grant, stdin="at\nrt\n")

    tick = await program.done("tick", "--relay", "--json")

    [body] = [line["body"] for line in (await program.done("queue", "list", "--json")).lines]
    assert added.out == b"added acme-google-1\n"
    assert (tick.report["jobs_created"], tick.report["delivered"]) == (1, 1)
    assert (body["job_type"], body["metadata"]["priority"]) == ("full", "high")
    assert body["sync_window"] == {"start": iso(NOW_MS - 7 * DAY_MS), "end": iso(NOW_MS)}
    assert program.connection("acme-google-1")["last_synced_at"] is None
    assert program.life("acme-google-1") == ["fell_due", "job_created", "job_enqueued"]


async def test_a_token_that_ends_in_two_minutes_is_replaced_before_the_job(
    program: Program, authority: Authority
) -> None:
    with program.tables() as tables:
        ends = plain(NOW_MS + 2 * MINUTE_MS)
        connect(tables, "c", last_synced_at=SYNCED, expires_at=ends)

    tick = await program.done("tick", "--relay", "--json")

    row = program.connection("c")
    late = moment(row["expires_at"]).timestamp() - NOW_MS / 1000 - LIFETIME_S
    assert (tick.report["refreshed"], tick.report["delivered"]) == (1, 1)
    assert authority.sent == ["rt-c"]
    assert program.access_token("c") == authority.granted["rt-c"]
    assert 0 <= late < 60
    assert program.life("c") == ["fell_due", "refresh_started", "job_created", "job_enqueued"]


async def test_ten_connections_without_a_consumer_get_ten_messages_and_no_eleventh(
    program: Program,
) -> None:
    with program.tables() as tables:
        for number in range(10):
            connect(tables, f"c{number}", platform="stripe", last_synced_at=SYNCED)

    later = (0, 15 * MINUTE_MS, 2 * HOUR_MS, 3 * DAY_MS)
    ticks = [
        await program.done("tick", "--relay", "--json", now_ms=NOW_MS + wait_ms)
        for wait_ms in later
    ]

    assert [tick.report["delivered"] for tick in ticks] == [10, 0, 0, 0]
    assert [tick.report["due"] for tick in ticks] == [10, 0, 0, 0]
    assert len((await program.done("queue", "list", "--json")).lines) == 10


async def test_a_consumer_that_finishes_its_job_makes_room_for_the_next(program: Program) -> None:
    with program.tables() as tables:
        for connection_id in ("done", "open"):
            connect(tables, connection_id, platform="stripe", last_synced_at=SYNCED)
    await program.done("tick", "--relay")
    [job] = [row for row in program.rows("sync_jobs") if row["connection_id"] == "done"]

    with program.tables() as tables:
        tables.update_job(job["id"], status="completed", completed_at=iso(NOW_MS))
        tables.update_connection("done", last_synced_at=iso(NOW_MS), sync_status="completed")
    later = NOW_MS + HOUR_MS + 1
    tick = await program.done("tick", "--relay", "--json", now_ms=later)

    jobs = [row for row in program.rows("sync_jobs") if row["connection_id"] == "done"]
    assert (tick.report["due"], tick.report["delivered"]) == (1, 1)
    assert sorted(row["status"] for row in jobs) == ["completed", "pending"]
    assert (await program.done("replay", "--json")).report["violations"] == []


async def test_a_corrupted_refresh_token_fails_alone_and_says_why(
    program: Program, authority: Authority
) -> None:
    soon = iso(NOW_MS + MINUTE_MS)
    with program.tables() as tables:
        connect(tables, "broken", expires_at=soon, refresh_token_encrypted="bm90:YQ==:c2VhbGVk")
        for number in range(9):
            connect(tables, f"healthy{number}", expires_at=soon)

    tick = await program.done("tick", "--json")

    [failure] = tick.report["failures"]
    row = program.connection("broken")
    assert (failure["connection_id"], failure["class"]) == ("broken", "permanent")
    assert row["sync_status"] == "failed"
    assert row["sync_error"] == f"Token refresh failed: {failure['message']}"
    assert tick.report["refreshed"] == 9
    assert sorted(authority.sent) == [f"rt-healthy{number}" for number in range(9)]
    assert program.life("broken") == ["fell_due", "refresh_started", "sync_failed"]


async def test_a_failed_connection_is_well_again_after_its_user_reconnects(
    program: Program,
) -> None:
    soon = iso(NOW_MS + MINUTE_MS)
    grant = ("--organization", "acme", "--account-id", "1", "--expires-at", soon)
    await program.done("connections", "add", "google", *grant, stdin="at\n")
    failed = await program.run("tick", "--json")
    still_failed = await program.done("tick", "--json", now_ms=NOW_MS + DAY_MS)

    await program.done("connections", "add", "google", *grant, stdin="at\nrt\n")
    tick = await program.done("tick", "--json")

    row = program.connection("acme-google-1")
    assert failed.code == 3  # More than a tenth of all.
    assert still_failed.report["due"] == 0
    assert (tick.report["due"], tick.report["refreshed"]) == (1, 1)
    assert (row["sync_status"], row["sync_error"]) == ("pending", None)
