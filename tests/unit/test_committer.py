"""Answers of providers become durable, whatever happens to database and stream meanwhile."""

from collections.abc import Awaitable, Callable

import pytest

from clearlift_engine.errors import CronWorkerError, UnavailableError
from clearlift_engine.events import JobCreated, SyncFailed
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS, iso
from clearlift_engine.ports import Provider, Refused
from clearlift_engine.stream import Stream
from tests.given import NOW_MS, commit, take
from tests.given import failed as failed_event
from tests.watched import Side, Watch, fails, nobody, once
from tests.worker import Worker

DEAD = Refused("permanent", "invalid_grant")


def outage(worker: Worker, *, starts: str, calls: int, only: str = "store.append") -> Watch:
    """Return a watch that takes `only` away for some calls, after the first call of `starts`."""
    left = [-1]

    async def watch(name: str, side: Side) -> None:
        if (name, side) == (starts, "after") and left[0] < 0:
            left[0] = calls
        elif (name, side) == (only, "before") and left[0] > 0:
            left[0] -= 1
            raise UnavailableError("the database is away")

    return watch


def tokens(worker: Worker, connection_id: str) -> tuple[str, str]:
    row = worker.connection(connection_id)
    return row["credentials_encrypted"], row["refresh_token_encrypted"]


async def stream_of(worker: Worker, connection_id: str) -> Stream:
    [conn] = await worker.world.store.find([connection_id])
    return conn.stream


def rival_fails(worker: Worker, connection_id: str) -> Callable[[], Awaitable[object]]:
    """Return a rival that moves a claimed stream."""

    async def move() -> None:
        stream = await stream_of(worker, connection_id)
        await take(worker.world.store, commit(stream, failed_event(retry_at=NOW_MS)))

    return move


async def test_answers_that_arrive_during_a_commit_go_together_in_the_next(worker: Worker) -> None:
    appends: list[str] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before") and worker.asked():
            appends.append(name)
            await worker.clock.sleep(500)

    worker.watch = watch
    for number in range(40):
        worker.expiring(f"c{number}", platform="facebook")
    worker.refresher.latency_ms = 100

    outcome = await worker.tick()

    assert outcome.report.refreshed == 40
    assert len(appends) < 20


async def test_lone_answer_is_committed_at_once(worker: Worker) -> None:
    worker.expiring("c")

    await worker.tick()

    assert worker.clock.now() == NOW_MS
    assert worker.jobs() == ["c"]


@pytest.mark.parametrize(("calls", "waited_ms"), [(1, 1_000), (4, 15_000)])
async def test_database_that_is_away_for_a_moment_loses_no_answer(
    worker: Worker, calls: int, waited_ms: int
) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = outage(worker, starts="refresher.refresh", calls=calls)

    outcome = await worker.tick()

    assert outcome.report.refreshed == 1
    assert tokens(worker, "c") == ("access-1", "refresh-1")
    assert len(worker.heard("the database is away")) == calls
    assert worker.clock.now() == NOW_MS + waited_ms


async def test_answer_is_rescued_from_a_database_that_stays_away_and_brought_home_by_the_next_run(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = outage(worker, starts="refresher.refresh", calls=5)

    with pytest.raises(UnavailableError):
        await worker.tick()
    kept = [each.connection_id for each in await worker.rescue.kept()]
    await worker.tick_later()

    assert kept == ["c"]
    assert tokens(worker, "c") == ("access-1", "refresh-1")
    assert await worker.rescue.kept() == []
    assert [call.token for call in worker.refresher.calls] == ["refresh of c"]
    assert worker.jobs() == ["c"]


async def test_rescued_answers_of_a_crowd_all_come_home(worker: Worker) -> None:
    for number in range(30):
        worker.expiring(f"c{number}", platform="tiktok")
    worker.refresher.latency_ms = 3_000
    worker.watch = outage(worker, starts="refresher.refresh", calls=1_000)

    with pytest.raises(UnavailableError):
        await worker.tick()
    worker.watch = outage(worker, starts="", calls=0)
    await worker.tick_later()

    sent = [call.token for call in worker.refresher.calls]
    assert len(sent) == len(set(sent)) == 30
    assert len(worker.jobs()) == 30
    assert worker.marked() == []


async def test_rescued_tokens_give_way_to_those_of_a_user_who_reconnected(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = outage(worker, starts="refresher.refresh", calls=5)
    with pytest.raises(UnavailableError):
        await worker.tick()
    worker.seed.update_connection("c", credentials_encrypted="a", refresh_token_encrypted="r")

    await worker.tick_later()

    assert [call.token for call in worker.refresher.calls] == ["refresh of c", "r"]
    assert await worker.rescue.kept() == []


async def test_rescued_tokens_of_a_deleted_connection_are_dropped(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = outage(worker, starts="refresher.refresh", calls=5)
    with pytest.raises(UnavailableError):
        await worker.tick()
    worker.seed.delete_connection("c")

    await worker.tick_later()

    assert await worker.rescue.kept() == []


async def test_new_tokens_are_stored_although_a_rival_moved_the_stream(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = once("refresher.refresh", "after", rival_fails(worker, "c"))

    outcome = await worker.tick()

    assert tokens(worker, "c") == ("access-1", "refresh-1")
    assert (outcome.report.refreshed, worker.jobs()) == (0, [])
    assert worker.heard("another worker took it")
    await worker.tick_later()
    assert (worker.jobs(), len(worker.asked())) == (["c"], 1)


async def test_new_tokens_are_rescued_if_the_database_goes_away_while_they_are_adopted(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    move = rival_fails(worker, "c")
    later = outage(worker, starts="refresher.refresh", calls=1, only="vault.credentials")

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("refresher.refresh", "after"):
            await move()
        await later(name, side)

    worker.watch = watch
    with pytest.raises(UnavailableError):
        await worker.tick()
    await worker.tick_later()

    assert tokens(worker, "c") == ("access-1", "refresh-1")
    assert len(worker.asked()) == 1


async def test_user_who_reconnects_meanwhile_keeps_the_credentials_they_gave(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")

    async def reconnect() -> None:
        worker.seed.update_connection(
            "c", credentials_encrypted="a", refresh_token_encrypted="r", expires_at="2027-01-01"
        )

    worker.watch = once("refresher.refresh", "after", reconnect)
    await worker.tick()

    assert tokens(worker, "c") == ("a", "r")
    assert worker.connection("c")["expires_at"] == "2027-01-01"
    await worker.tick()
    assert worker.jobs() == ["c"]


async def test_new_tokens_are_stored_over_the_same_grant_though_another_column_changed(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")

    async def encrypt_anew() -> None:
        worker.seed.update_connection("c", credentials_encrypted="encrypted anew")

    worker.watch = once("refresher.refresh", "after", encrypt_anew)
    await worker.tick()
    worker.watch = nobody
    await worker.tick()

    assert tokens(worker, "c") == ("access-1", "refresh-1")
    assert worker.jobs() == ["c"]


@pytest.mark.parametrize("deleted", [True, False])
async def test_connection_that_is_gone_when_its_answer_comes_gets_no_job(
    worker: Worker, *, deleted: bool
) -> None:
    worker.expiring("c", platform="tiktok")

    async def leave() -> None:
        if deleted:
            worker.seed.delete_connection("c")
        else:
            worker.seed.update_connection("c", is_active=0)

    worker.watch = once("refresher.refresh", "after", leave)
    outcome = await worker.tick()

    assert (worker.jobs(), outcome.report.refreshed, outcome.report.failed) == ([], 0, 0)
    assert deleted or tokens(worker, "c") == ("access-1", "refresh-1")


async def test_job_that_somebody_else_opened_meanwhile_stands_and_the_tokens_are_stored(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")

    async def open_job() -> None:
        worker.seed.add_job("theirs", "c", created_at=iso(NOW_MS))

    worker.watch = once("refresher.refresh", "after", open_job)
    await worker.tick()

    assert [row["id"] for row in worker.seed.rows("sync_jobs")] == ["theirs"]
    assert tokens(worker, "c") == ("access-1", "refresh-1")
    assert worker.state("c") == "due"


async def test_job_that_the_database_refuses_leaves_the_new_tokens_stored(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok", organization_id="gone")
    worker.expiring("other", platform="tiktok")
    worker.seed.remove_organization("gone")

    outcome = await worker.tick()

    assert (worker.jobs(), worker.marked()) == (["other"], ["c"])
    assert tokens(worker, "c")[1].startswith("refresh-")
    assert [each.connection_id for each in outcome.report.failures] == ["c"]


@pytest.mark.parametrize("problem", [None, "GOOGLE_CLIENT_ID is not set"])
async def test_job_that_the_database_refuses_after_no_refresh_fails_its_connection_alone(
    worker: Worker, problem: str | None
) -> None:
    worker = Worker(worker.world, [Provider("google", Rate(1, 100), problem=problem)])
    worker.set_margin(HOUR_MS)
    worker.expiring("c", organization_id="gone", expires_at=iso(NOW_MS + HOUR_MS // 2))
    worker.expiring("other", expires_at=iso(NOW_MS + HOUR_MS // 2))
    worker.seed.remove_organization("gone")
    worker.refresher.outages["google"] = Refused("throttled", "slow down")

    outcome = await worker.tick()

    assert (worker.jobs(), worker.marked()) == (["other"], ["c"])
    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert event.failure_class == "invalid"
    assert outcome.report.failed == 1


async def test_lane_that_loses_the_database_takes_no_other_lanes_answers_with_it(
    worker: Worker,
) -> None:
    worker.expiring("t", platform="tiktok")
    worker.expiring("g")
    worker.refresher.script("g", DEAD)
    worker.refresher.latency_ms = 2_000

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("refresher.refresh", "before") and len(worker.asked()) == 1:
            await worker.clock.sleep(1_000)
        if (name, side) == ("vault.credentials", "before") and len(worker.asked()) == 2:
            raise UnavailableError("the database is away")

    worker.watch = watch
    with pytest.raises(UnavailableError):
        await worker.tick()

    assert tokens(worker, "t") == ("access-1", "refresh-1")
    event = worker.last("t")
    assert isinstance(event, JobCreated)


async def test_failure_that_nobody_foresaw_ends_the_run_instead_of_hanging_it(
    worker: Worker,
) -> None:
    for number in range(30):
        worker.expiring(f"c{number}", platform="tiktok")

    worker.watch = fails("store.append", CronWorkerError("a bug"), worker.asked)
    with pytest.raises(CronWorkerError, match="a bug"):
        await worker.tick()


async def test_answers_under_way_are_committed_although_their_lane_has_lost_the_database(
    worker: Worker,
) -> None:
    for number in range(6):
        worker.expiring(f"c{number}", platform="facebook", refresh_token_encrypted=None)
    worker.refresher.script("c0", DEAD)

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("refresher.refresh", "before") and worker.asked():
            await worker.clock.sleep(1_000)
        if (name, side) == ("vault.credentials", "before") and worker.asked():
            raise UnavailableError("the database is away")

    worker.watch = watch
    with pytest.raises(UnavailableError):
        await worker.tick()

    assert len(worker.jobs()) == len(set(worker.asked())) - 1
    assert {worker.state(f"c{number}") for number in range(1, 6)} <= {"job_created", "due"}
