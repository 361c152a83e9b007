"""tick at its limits: budgets, plans that are cut short, and what changes after it has looked."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import msgspec
import pytest

from clearlift_engine import tick as engine
from clearlift_engine.events import SyncFailed
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import DAY_MS, iso
from clearlift_engine.ports import Appended, Commit, Store
from clearlift_engine.run import TickSettings
from tests.given import DUE, NOW_MS, commit, started, take
from tests.watched import calls_of, once
from tests.worker import Worker


@pytest.mark.parametrize("limit", [1, 3, 5, 6])
async def test_budget_is_used_to_its_end_and_no_further(worker: Worker, limit: int) -> None:
    for number in range(5):
        worker.seed.add_connection(f"c{number}")
    worker.settings = TickSettings(limit=limit)
    worker.watch, looks = calls_of("store.due")

    outcome = await worker.tick()

    assert outcome.report.jobs_created == min(limit, 5)
    assert len(looks) == 1


async def test_plan_that_is_cut_short_is_gone_through_part_by_part(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PLAN_MAX", 2)
    worker.seed.add_connection("ahead", last_synced_at=iso(NOW_MS + DAY_MS))
    for number in range(5):
        worker.seed.add_connection(f"c{number}")
    worker.watch, looks = calls_of("store.due")

    outcome = await worker.tick()

    assert (outcome.report.jobs_created, len(looks)) == (5, 3)
    assert worker.heard("is in the future") == [{"connection_id": "ahead"}]


async def test_report_of_a_tick_that_did_nothing_is_all_zeros(worker: Worker) -> None:
    report = msgspec.structs.asdict((await worker.tick()).report)

    counted = ("duration_ms", "due", "refreshed", "jobs_created", "failed", "deferred", "delivered")
    assert [report[name] for name in counted] == [0] * 7


async def test_duration_is_what_passed_since_the_tick_began(worker: Worker) -> None:
    worker.seed.add_connection("c")
    worker.watch = once("store.append", "before", lambda: worker.clock.sleep(5_000))

    outcome = await worker.tick()

    assert outcome.report.duration_ms == 5_000


async def test_token_that_turns_out_to_expire_is_refreshed_first(worker: Worker) -> None:
    worker.seed.add_connection("c")
    worker.seed.add_connection("lasting")

    async def shorten() -> None:
        worker.seed.update_connection("c", expires_at=iso(NOW_MS))

    worker.watch = once("store.due", "after", shorten)
    await worker.tick()

    assert (worker.asked(), sorted(worker.jobs())) == (["c"], ["c", "lasting"])


def switched_off(worker: Worker) -> Callable[[], Awaitable[object]]:
    async def act() -> None:
        worker.seed.update_connection("c", is_active=0)

    return act


def claimed(worker: Worker) -> Callable[[], Awaitable[object]]:
    return lambda: take(worker.world.store, commit("c", DUE, started()))


@pytest.mark.parametrize("rival", [switched_off, claimed])
async def test_connection_that_is_no_more_for_us_when_it_is_read_is_left_alone(
    worker: Worker, rival: Callable[[Worker], Callable[[], Awaitable[object]]]
) -> None:
    worker.seed.add_connection("c")
    worker.seed.add_connection("other")
    worker.watch = once("store.due", "after", rival(worker))

    outcome = await worker.tick()

    assert (worker.jobs(), outcome.report.due) == (["other"], 1)
    assert worker.heard("another worker took it") == []


async def test_ids_too_long_for_a_message_are_told_where_no_provider_could_be_asked(
    worker: Worker,
) -> None:
    long = "\N{GRINNING FACE}" * 40_000
    worker.expiring("c", account_id=long, platform="stripe")
    worker.expiring("d", account_id=long, platform="myspace")

    await worker.tick()

    for name in "cd":
        event = worker.last(name)
        assert isinstance(event, SyncFailed)
        assert "too long" in event.message


class Full:
    """A store whose log takes no row about one connection."""

    def __init__(self, store: Store, connection_id: str) -> None:
        self._store, self._connection_id = store, connection_id

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for a port
        return getattr(self._store, method)

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        taken = [each for each in commits if each.before.connection_id != self._connection_id]
        appended = await self._store.append(taken, gate)
        refused = {self._connection_id: "full"} if len(taken) < len(commits) else {}
        return Appended(appended.lost, refused, appended.gate_moved)


async def test_failure_that_not_even_the_log_takes_is_in_the_report(worker: Worker) -> None:
    worker.seed.add_connection("c")
    worker.seed.add_connection("other")
    store = cast("Store", Full(worker.world.store, "c"))
    worker.world = dataclasses.replace(worker.world, store=store)

    outcome = await worker.tick()

    assert (worker.jobs(), outcome.report.failed) == (["other"], 1)
    [failure] = outcome.report.failures
    assert (failure.connection_id, failure.failure_class) == ("c", "permanent")
