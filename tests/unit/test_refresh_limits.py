"""What no test of the refreshes minded when it was changed: see docs/mutation.md."""

import pytest

from clearlift_engine.pacing import Gate, Rate
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Provider
from tests.given import NOW_MS
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
    for number in range(3):
        worker.expiring(f"c{number}")

    outcome = await worker.tick(should_stop=lambda: len(worker.asked()) > 0)

    assert outcome.report.refreshed == 1
    assert sum(outcome.deferrals.values()) == outcome.report.deferred == 2
    assert set(outcome.deferrals) <= {"the run is stopping", "interrupted"}
