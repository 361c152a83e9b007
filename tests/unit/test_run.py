"""What a tick counts, and what it says of each connection: a report that adds up."""

from collections.abc import Awaitable, Callable

import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT
from clearlift_engine import run as engine
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Provider, Refused
from clearlift_engine.run import TickSettings
from tests.given import DUE, NOW_MS, commit, failed, take
from tests.watched import once
from tests.worker import Worker

SLOW_DOWN = Refused("throttled", "slow down")


def unservable(worker: Worker, number: int) -> None:
    """Add connections for which no message could be made."""
    for each in range(number):
        worker.seed.add_connection(f"c{each}", platform="stripe", account_id="x" * 200_000)


def moves(worker: Worker, name: str) -> Callable[[], Awaitable[object]]:
    """Return a rival that moves a stream, wherever it stands."""

    async def move() -> None:
        [conn] = await worker.world.store.find([name])
        events = [failed(retry_at=NOW_MS)] if conn.stream.state else [DUE]
        await take(worker.world.store, commit(conn.stream, *events))

    return move


async def test_each_connection_is_counted_once_and_said_by_name(worker: Worker) -> None:
    worker.seed.add_connection("plain", platform="stripe")
    worker.expiring("fresh", platform="google")
    worker.expiring("dead", platform="tiktok")
    worker.expiring("busy", platform="facebook")
    worker.refresher.script("dead", INVALID_GRANT)
    worker.refresher.outages["facebook"] = SLOW_DOWN

    outcome = await worker.tick(delivers=True)

    report = outcome.report
    assert (report.due, report.jobs_created, report.failed, report.deferred) == (4, 2, 1, 1)
    assert (report.refreshed, report.delivered) == (1, 1)
    assert [each.connection_id for each in report.failures] == ["dead"]
    assert outcome.deferrals == {"throttled": 1}
    said = {(each.level, each.event, each.fields["connection_id"]) for each in worker.said}
    assert {each for each in said if "refreshed" not in each[1]} == {
        ("debug", "job created", "plain"),
        ("debug", "job delivered", "plain"),
        ("debug", "job created", "fresh"),
        ("info", "deferred", "busy"),
        ("warning", "connection failed", "dead"),
    }


async def test_what_another_worker_took_is_not_due_here(worker: Worker) -> None:
    worker.seed.add_connection("theirs", platform="stripe")
    worker.seed.add_connection("ours", platform="stripe")
    worker.watch = once("store.append", "before", moves(worker, "theirs"))

    outcome = await worker.tick()

    assert (outcome.report.due, outcome.report.jobs_created) == (1, 1)
    [said] = [each for each in worker.said if each.event == "another worker took it"]
    assert (said.level, said.fields) == ("info", {"connection_id": "theirs"})


async def test_what_was_refreshed_here_stays_due_though_another_worker_moved_it(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = once("refresher.refresh", "after", moves(worker, "c"))

    outcome = await worker.tick()

    report = outcome.report
    assert (report.due, report.refreshed, report.jobs_created, report.failed) == (1, 0, 0, 0)


async def test_failures_count_towards_the_limit_of_a_tick(worker: Worker) -> None:
    unservable(worker, 4)
    worker.settings = TickSettings(limit=2)

    outcome = await worker.tick()

    assert (outcome.report.due, outcome.report.failed) == (2, 2)


async def test_report_names_so_many_failures_and_counts_the_rest(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FAILURES_MAX", 2)
    unservable(worker, 3)

    report = (await worker.tick()).report

    assert (report.failed, len(report.failures)) == (3, 2)
    # To whoever reads the report, what a row says is permanent.
    assert {each.failure_class for each in report.failures} == {"permanent"}
    assert [each["class"] for each in worker.heard("connection failed")] == ["invalid"] * 3


async def test_what_is_wrong_in_the_configuration_is_said_once(worker: Worker) -> None:
    problem = "GOOGLE_CLIENT_ID is not set"
    worker = Worker(worker.world, [Provider("google", Rate(1, 100), problem=problem)])
    worker.set_margin(HOUR_MS)
    for name in "ab":
        worker.expiring(name)

    outcome = await worker.tick()

    assert outcome.problems == [problem]
    [said] = [each for each in worker.said if each.event == "configuration"]
    assert (said.level, said.fields) == ("error", {"why": problem})
