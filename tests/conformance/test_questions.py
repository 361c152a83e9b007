"""What every store answers to the questions of operators."""

from collections.abc import Sequence

from clearlift_engine.events import decode
from clearlift_engine.overview import RunFact
from clearlift_engine.policy import DAY_MS, HOUR_MS, iso
from clearlift_engine.questions import JobCount, Runs, Spent
from clearlift_engine.stream import Stream
from tests.given import DUE, ENQUEUED, NOW_MS, ODD_IDS, commit, created, failed, plain, take
from tests.world import World


async def recent(world: World, limit: int) -> Sequence[str | None]:
    return [job.id for job in await world.questions.recent_jobs(limit=limit)]


async def test_newest_jobs_come_first_whatever_the_format_of_their_time(world: World) -> None:
    world.seed.add_connection("c", platform="tiktok", account_name="C Ltd")
    world.seed.add_job("plain", "c", created_at=plain(NOW_MS - 1000), status="running")
    world.seed.add_job("iso", "c", created_at=iso(NOW_MS - 500), completed_at=plain(NOW_MS))
    world.seed.add_job("odd", "c", created_at="yesterday", status="weird")
    world.seed.add_job("late", "c", created_at=iso(NOW_MS - 1500), error_message="no", status=None)

    [newest, *_] = await world.questions.recent_jobs(limit=1)

    assert await recent(world, 9) == ["iso", "plain", "late", "odd"]
    assert (newest.id, newest.platform, newest.account_name) == ("iso", "tiktok", "C Ltd")
    assert (newest.created_at, newest.completed_at) == (NOW_MS - 500, NOW_MS)


async def test_job_of_a_connection_that_is_gone_is_told_without_its_account(world: World) -> None:
    world.seed.add_connection("c", account_name="C Ltd")
    world.seed.add_job("j", "c", created_at=iso(NOW_MS), error_message="no", records_synced=7)
    world.seed.delete_connection("c")

    [job] = await world.questions.jobs(["j", "unknown"])

    assert (job.connection_id, job.platform, job.account_name) == ("c", None, None)
    assert (job.error, job.records_synced, job.created_at) == ("no", 7, NOW_MS)


async def test_jobs_are_counted_by_status_from_the_first_moment_of_a_period_on(
    world: World,
) -> None:
    world.seed.add_connection("c")
    times = (iso(NOW_MS), plain(NOW_MS), iso(NOW_MS + 1), iso(NOW_MS - 1), "odd", None)
    for number, created_at in enumerate(times):
        status = "running" if number == 1 else "failed"
        world.seed.add_job(f"j{number}", "c", created_at=created_at, status=status)
    world.seed.add_job("null", "c", created_at=iso(NOW_MS), status=None)

    counts = await world.questions.jobs_by_status(since_ms=NOW_MS)

    assert counts == [JobCount(None, 1), JobCount("failed", 2), JobCount("running", 1)]


async def fail(world: World, connection_id: str, *times: int, retry_at: int | None) -> None:
    world.seed.add_connection(connection_id, account_name=f"{connection_id} Ltd")
    before = Stream(connection_id)
    for at_ms in times:
        made = commit(before, DUE, failed(retry_at=retry_at), at_ms=at_ms)
        before = await take(world.store, made)


async def test_failures_of_a_period_are_counted_and_the_newest_is_told(world: World) -> None:
    day = NOW_MS - DAY_MS
    await fail(world, "often", day, day + 1, NOW_MS, retry_at=NOW_MS + HOUR_MS)
    await fail(world, "before", day - 2, day - 1, NOW_MS - 5, retry_at=None)
    await fail(world, "twice", day, NOW_MS - 9, retry_at=None)

    found = await world.questions.failures(since_ms=day, more_than=1, limit=9)
    first = await world.questions.failures(since_ms=day, more_than=0, limit=1)

    [often, twice] = found
    assert first == [often]
    assert (often.connection_id, often.failures, often.failed_at) == ("often", 3, NOW_MS)
    assert (often.account_name, often.state, often.retry_at) == (
        "often Ltd",
        "failed",
        NOW_MS + HOUR_MS,
    )
    assert decode("sync_failed", often.data) == failed(retry_at=NOW_MS + HOUR_MS)
    assert (twice.connection_id, twice.failures, twice.retry_at) == ("twice", 2, None)


async def test_failures_tell_where_a_connection_is_now(world: World) -> None:
    assert await world.questions.failures(since_ms=0, more_than=0, limit=1) == []
    await fail(world, "well again", NOW_MS - 9, retry_at=NOW_MS)
    stream = (await world.store.find(["well again"]))[0].stream
    await take(world.store, commit(stream, DUE, created("well again"), ENQUEUED))
    await fail(world, "gone", NOW_MS - 8, retry_at=None)
    world.seed.delete_connection("gone")

    found = await world.questions.failures(since_ms=0, more_than=0, limit=9)

    assert [(each.connection_id, each.platform, each.state) for each in found] == [
        ("gone", None, "failed"),
        ("well again", "google", "enqueued"),
    ]


async def run_some(world: World) -> None:
    for number, command in enumerate(("tick", "tick", "relay", "tick", "tick")):
        await world.journal.begin(f"r{number}", command, now_ms=NOW_MS + number)
    report = b'{"due":7,"failed":2,"jobs_created":5,"duration_ms":12,"failures":[]}'
    broken = b'{"error":"UnavailableError"}'
    finish = world.journal.finish
    await finish("r1", now_ms=NOW_MS + 9, outcome="many_failed", report=report, cpu_ms=40)
    await finish("r3", now_ms=NOW_MS + 9, outcome="done", report=b"[1]", cpu_ms=2)
    await finish("r4", now_ms=NOW_MS + 5, outcome="unreachable", report=broken)


async def test_runs_of_a_command_come_newest_first(world: World) -> None:
    await run_some(world)

    runs = await world.questions.runs(since_ms=NOW_MS + 1, command="tick", limit=2)

    newest, ended = (NOW_MS + 4, NOW_MS + 5, "unreachable"), (NOW_MS + 3, NOW_MS + 9, "done")
    assert runs.found == [
        RunFact("r4", "tick", *newest, duration_ms=1, error="UnavailableError"),
        RunFact("r3", "tick", *ended, duration_ms=6, cpu_ms=2),
    ]


async def test_runs_add_up_whether_they_are_shown_or_not(world: World) -> None:
    nothing = await world.questions.runs(since_ms=0, command=None, limit=1)
    await run_some(world)

    some = await world.questions.runs(since_ms=NOW_MS + 1, command="tick", limit=1)
    every = await world.questions.runs(since_ms=0, command=None, limit=9)

    assert nothing == Runs([], Spent(0, 0, 0, 0, 0, 0))
    assert some.total == Spent(
        runs=3, unfinished=0, not_done=2, failed=2, duration_ms=19, cpu_ms=42
    )
    assert (every.total.runs, every.total.unfinished, len(every.found)) == (5, 2, 5)


async def test_life_is_read_in_parts_whatever_the_id(world: World) -> None:
    for connection_id in ODD_IDS:
        world.seed.add_connection(connection_id)
        event = created(connection_id, f"job of {connection_id}")
        await take(world.store, commit(connection_id, DUE, event, ENQUEUED))

    for connection_id in ODD_IDS:
        first = await world.questions.life(connection_id, after=0, limit=2)
        rest = await world.questions.life(connection_id, after=2, limit=-1)

        assert [entry.version for entry in (*first, *rest)] == [1, 2, 3]
        assert {entry.connection_id for entry in (*first, *rest)} == {connection_id}
        assert decode(rest[0].transition, rest[0].data) == ENQUEUED
