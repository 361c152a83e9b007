"""How many requests leave, and when: what a provider allows, shared by all processes."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import pytest

from clearlift_engine.events import RefreshReleased
from clearlift_engine.pacing import Gate, Rate
from clearlift_engine.policy import HOUR_MS, iso
from clearlift_engine.ports import Provider
from tests.given import NOW_MS
from tests.watched import Side
from tests.worker import TICK_MS, Worker


def most_in_any_hour(times: Sequence[int]) -> int:
    return max(bisect_left(times, time + HOUR_MS) - at for at, time in enumerate(times))


async def test_google_is_asked_ten_times_a_second_and_not_more(worker: Worker) -> None:
    for number in range(45):
        worker.expiring(f"c{number}")

    await worker.tick()

    times = [call.at for call in worker.refresher.calls]
    assert len(times) == 45
    assert all(later - earlier >= 100 for earlier, later in pairwise(times))
    assert 4_400 <= times[-1] - times[0] <= 5_000


@pytest.mark.parametrize("period_ms", [900, 1_100, 5_000, 15_000])
async def test_slow_pace_is_kept_to_the_end_and_not_given_up(
    worker: Worker, period_ms: int
) -> None:
    worker = Worker(worker.world, [Provider("acme", Rate(1, period_ms))])
    for number in range(30):
        worker.expiring(f"c{number}", platform="acme")

    outcome = await worker.tick()

    times = [call.at - NOW_MS for call in worker.refresher.calls]
    assert times == [number * period_ms for number in range(30)]
    assert outcome.report.refreshed == 30


async def test_slots_that_another_process_has_taken_are_waited_for(worker: Worker) -> None:
    worker.expiring("c")
    theirs = Gate("google", version=1, slots=(NOW_MS + 30_000,))
    await worker.world.store.append([], theirs)

    await worker.tick()

    assert [call.at - NOW_MS for call in worker.refresher.calls] == [30_100]


async def test_200_an_hour_hold_over_fresh_processes_and_are_used_as_early_as_may_be(
    worker: Worker,
) -> None:
    for number in range(400):
        worker.expiring(f"c{number}", platform="facebook")

    outcomes = [await worker.tick()]
    for number in range(1, 6):
        worker.clock.now_ms = NOW_MS + number * TICK_MS
        outcomes.append(await worker.tick())

    times = [call.at for call in worker.refresher.calls]
    assert most_in_any_hour(times) == 200
    assert len(set(worker.asked())) == len(worker.asked()) == 400
    assert [each.report.refreshed for each in outcomes] == [200, 0, 0, 0, 200, 0]
    assert [each.report.deferred for each in outcomes] == [200, 200, 200, 200, 0, 0]
    assert worker.marked() == []


async def test_short_budget_goes_to_the_soonest_expiry_of_each_organisation(
    worker: Worker,
) -> None:
    worker = Worker(worker.world, [Provider("facebook", Rate(3, HOUR_MS))])
    for number in range(5):
        expires_at = iso(NOW_MS + (5 - number) * 10_000)
        worker.expiring(f"big {number}", platform="facebook", expires_at=expires_at)
    worker.expiring("small", platform="facebook", organization_id="small")

    await worker.tick()

    assert worker.asked() == ["big 4", "small", "big 3"]
    assert worker.state("big 0") == "due"


async def test_request_that_waited_past_its_slot_is_not_sent(worker: Worker) -> None:
    for number in range(20):
        worker.expiring(f"c{number}")
    worker.refresher.latency_ms = 12_000

    await worker.tick()

    late = [each for each in range(20) if worker.state(f"c{each}") == "due"]
    assert len(worker.asked()) == len(worker.jobs()) == 20 - len(late)
    assert late
    event = worker.last(f"c{late[0]}")
    assert isinstance(event, RefreshReleased)
    assert (event.reason, event.ambiguous) == ("interrupted", False)


async def test_no_more_than_ten_requests_to_one_provider_are_under_way(worker: Worker) -> None:
    under_way = [0]

    async def watch(name: str, side: Side) -> None:
        if name == "refresher.refresh":
            under_way.append(under_way[-1] + (1 if side == "before" else -1))

    worker.watch = watch
    worker.refresher.latency_ms = 1_000
    for number in range(40):
        worker.expiring(f"c{number}", platform="facebook", refresh_token_encrypted=None)

    outcome = await worker.tick()

    assert max(under_way) == 10
    assert outcome.report.refreshed == 40


async def test_provider_that_is_slow_keeps_no_other_waiting(worker: Worker) -> None:
    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("refresher.refresh", "before") and not worker.asked():
            await worker.clock.sleep(9_000)

    worker.watch = watch
    for number in range(20):
        worker.expiring(f"f{number}", platform="facebook", refresh_token_encrypted=None)
        worker.expiring(f"g{number}")

    await worker.tick()

    times = [call.at for call in worker.refresher.calls if call.platform == "google"]
    assert max(times) < NOW_MS + 20_000
    assert len(worker.jobs()) == 40
