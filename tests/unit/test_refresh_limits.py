"""What no test of the refreshes minded when it was changed: see docs/mutation.md."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import pytest

from clearlift_engine import tick as engine
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import SyncFailed
from clearlift_engine.pacing import Gate, Rate
from clearlift_engine.policy import HOUR_MS, iso
from clearlift_engine.ports import Appended, Commit, Provider, Refused, Store
from tests.given import NOW_MS
from tests.watched import Side, fails, once
from tests.worker import GOOGLE, Providers, Worker

HOURLY = Provider("google", Rate(1, HOUR_MS))
UNSET = Provider("google", Rate(1, 100), problem="GOOGLE_CLIENT_ID is not set")
PAUSED = Gate("google", version=1, paused_until=NOW_MS + HOUR_MS)
PROBED = Gate("google", version=1, breaker="provider_down", opened_at=NOW_MS, probe_run="run-1")


class Preparing(Providers):
    """Providers that count how often requests to them are prepared."""

    prepared = 0

    def prepare(self) -> None:
        self.prepared += 1


class Refusing:
    """A store that will not have the first commits of a connection."""

    def __init__(self, store: Store) -> None:
        self._store, self._refused = store, False

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for a port
        return getattr(self._store, method)

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        if self._refused or not commits:
            return await self._store.append(commits, gate)
        self._refused = True
        await self._store.append([], gate)
        return Appended(refused={each.after.connection_id: "no room" for each in commits})


@pytest.mark.parametrize(("provider", "prepared"), [(GOOGLE, 1), (UNSET, 0)])
async def test_requests_are_prepared_once_if_any_is_to_leave(
    worker: Worker, provider: Provider, prepared: int
) -> None:
    worker.refresher = refresher = Preparing([provider], worker.clock)
    worker.expiring("a")
    worker.expiring("b")

    await worker.tick()

    assert refresher.prepared == prepared


@pytest.mark.parametrize(
    ("provider", "gate", "why"),
    [
        (HOURLY, None, {"no request is left in its budget": 2}),
        (UNSET, None, {"configuration": 3}),
        (GOOGLE, PAUSED, {"throttled": 3}),
        (GOOGLE, PROBED, {"provider_down": 3}),
    ],
)
async def test_whoever_is_not_asked_for_is_deferred_for_a_reason(
    worker: Worker, provider: Provider, gate: Gate | None, why: dict[str, int]
) -> None:
    worker = Worker(worker.world, [provider])
    await worker.world.store.append([], gate)
    for number in range(3):
        worker.expiring(f"c{number}")

    outcome = await worker.tick()

    assert outcome.deferrals == why


async def test_a_run_that_stops_says_so_of_those_it_leaves(worker: Worker) -> None:
    for number in range(50):
        worker.expiring(f"c{number}")

    outcome = await worker.tick(should_stop=lambda: len(worker.asked()) > 0)

    assert outcome.report.refreshed == 1
    assert sum(outcome.deferrals.values()) == outcome.report.deferred == 49
    assert set(outcome.deferrals) == {"the run is stopping", "interrupted"}
    assert {said["attempts"] for said in worker.heard("not refreshed")} == {0}


async def test_provider_that_has_served_one_part_of_a_plan_is_asked_in_the_next(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PLAN_MAX", 2)
    for number in range(5):
        worker.expiring(f"c{number}")

    outcome = await worker.tick()

    assert outcome.report.refreshed == 5


async def test_lane_that_ends_in_a_bug_sends_nothing_more(worker: Worker) -> None:
    for number in range(40):
        worker.expiring(f"c{number}")
    sent: list[int] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.gate", "before") and worker.asked():
            sent.append(len(worker.asked()))
            raise RuntimeError

    worker.watch = watch
    with pytest.raises(ExceptionGroup):
        await worker.tick()

    assert len(sent) == 1
    assert sent[0] <= len(worker.asked()) <= sent[0] + 1
    assert len(worker.jobs()) == len(worker.asked())


async def test_database_that_goes_away_under_many_answers_ends_the_run_as_away(
    worker: Worker,
) -> None:
    for number in range(8):
        worker.expiring(f"c{number}", platform="facebook", refresh_token_encrypted=None)
    worker.refresher.outages["facebook"] = Refused("transient", "HTTP 503")

    worker.watch = fails("store.gate", UnavailableError("the database is away"), worker.asked)
    with pytest.raises(UnavailableError):
        await worker.tick()

    assert len(worker.asked()) == 8


async def test_connection_that_is_switched_off_before_its_claim_is_left_alone(
    worker: Worker,
) -> None:
    worker.expiring("c")

    async def switch_off() -> None:
        worker.seed.update_connection("c", is_active=0)

    worker.watch = once("store.gate", "before", switch_off)
    outcome = await worker.tick()

    assert (worker.asked(), worker.jobs(), outcome.report.due) == ([], [], 0)
    assert worker.life("c") == []


@pytest.mark.parametrize("provider", [GOOGLE, UNSET], ids=["claim", "job without a refresh"])
async def test_what_the_database_refuses_is_recorded_as_failed(
    worker: Worker, provider: Provider
) -> None:
    refusing = cast("Store", Refusing(worker.world.store))
    worker = Worker(dataclasses.replace(worker.world, store=refusing), [provider])
    worker.set_margin(2 * HOUR_MS)
    worker.expiring("c", expires_at=iso(NOW_MS + HOUR_MS))

    await worker.tick()

    event = worker.last("c")
    assert isinstance(event, SyncFailed)
    assert event.message.endswith("no room")
    assert (worker.asked(), worker.marked()) == ([], ["c"])
