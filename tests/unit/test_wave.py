"""A sudden wave of dead grants at one provider is not believed, until it has lasted for hours."""

import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT
from clearlift_engine.events import RefreshReleased
from clearlift_engine.policy import HOUR_MS
from tests.worker import TICK_MS, Worker


def many(worker: Worker, size: int, *, dead: int = 0) -> list[str]:
    """Add connections that expire; the last `dead` of them have dead grants."""
    names = [f"c{number:02}" for number in range(size)]
    for number, name in enumerate(names):
        worker.expiring(name, platform="tiktok")
        if number >= size - dead:
            worker.refresher.script(name, *[INVALID_GRANT] * 50)
    return names


async def test_wave_marks_nobody_and_is_said_aloud(worker: Worker) -> None:
    names = many(worker, 60, dead=60)
    worker.expiring("other")

    outcome = await worker.tick()

    assert (worker.marked(), worker.jobs()) == ([], ["other"])
    assert (outcome.report.failed, outcome.report.deferred) == (0, 60)
    assert {worker.state(name) for name in names} == {"due"}
    [said] = worker.heard("most answers say that the grant is dead")
    assert said["provider"] == "tiktok"
    event = worker.last(names[0])
    assert isinstance(event, RefreshReleased)
    assert event.reason == "suspect"


async def test_wave_is_probed_once_a_tick_and_each_time_with_another_connection(
    worker: Worker,
) -> None:
    many(worker, 60, dead=60)
    await worker.tick()
    before = len(worker.asked())

    for _ in range(8):
        await worker.tick_later()

    probed = worker.asked()[before:]
    assert (len(probed), len(set(probed))) == (8, 8)
    assert worker.marked() == []


async def test_wave_that_is_over_is_forgotten_and_everybody_served(worker: Worker) -> None:
    names = many(worker, 60)
    worker.refresher.outages["tiktok"] = INVALID_GRANT
    await worker.tick()

    worker.refresher.outages.clear()
    await worker.tick_later()

    assert sorted(worker.jobs()) == names
    assert worker.marked() == []


async def test_wave_that_lasts_for_six_hours_is_believed(worker: Worker) -> None:
    names = many(worker, 60, dead=60)
    began_at = worker.clock.now()
    await worker.tick()

    worker.clock.now_ms = began_at + 6 * HOUR_MS - TICK_MS
    await worker.tick()
    still = worker.marked()
    await worker.tick_later(TICK_MS + 60_000)

    assert still == []
    assert worker.marked() == names


@pytest.mark.parametrize(("size", "dead"), [(9, 9), (40, 20), (100, 30)])
async def test_dead_grants_that_are_no_wave_are_marked_at_once(
    worker: Worker, size: int, dead: int
) -> None:
    names = many(worker, size, dead=dead)

    outcome = await worker.tick()

    assert worker.marked() == names[-dead:]
    assert outcome.report.failed == dead
    assert sorted(worker.jobs()) == names[: size - dead]


async def test_wave_after_many_good_answers_holds_back_what_came_last(worker: Worker) -> None:
    many(worker, 100, dead=80)

    outcome = await worker.tick()

    assert len(worker.jobs()) == 20
    assert outcome.report.failed == len(worker.marked()) <= 20
    assert worker.heard("most answers say")
