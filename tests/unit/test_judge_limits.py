"""What no test of the judgement minded when it was changed: see docs/mutation.md."""

import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT
from clearlift_engine.judge import SUSPECT_MS, WAVE_MIN
from clearlift_engine.pacing import Gate
from clearlift_engine.ports import Refused
from tests.given import NOW_MS
from tests.watched import Side
from tests.worker import Worker

MISCONFIGURED = Refused("configuration", "invalid_client")
UNDECRYPTABLE = Refused("permanent", "opens with none", undecryptable=True, asked=False)


def many(worker: Worker, size: int, platform: str = "google") -> list[str]:
    """Add connections that expire."""
    names = [f"{platform} {number:02}" for number in range(size)]
    for name in names:
        worker.expiring(name, platform=platform, refresh_token_encrypted="their own")
    return names


def calls(worker: Worker, port: str) -> list[str]:
    """Return a list that gets longer with each call of a port from now on."""
    made: list[str] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == (port, "before"):
            made.append(name)

    worker.watch = watch
    return made


@pytest.mark.parametrize(("short_of_it_ms", "believed"), [(0, True), (1, False)])
async def test_a_wave_is_believed_once_it_has_lasted_six_hours(
    worker: Worker, short_of_it_ms: int, *, believed: bool
) -> None:
    began_at = NOW_MS - SUSPECT_MS + short_of_it_ms
    suspect = Gate("google", version=1, breaker="suspect", opened_at=began_at)
    await worker.world.store.append([], suspect)
    many(worker, 1)
    worker.refresher.script("google 00", INVALID_GRANT)

    await worker.tick()

    assert bool(worker.marked()) is believed


async def test_wrong_configuration_is_remembered_and_next_asked_for_with_one_probe(
    worker: Worker,
) -> None:
    many(worker, 30, "facebook")
    worker.refresher.outages["facebook"] = MISCONFIGURED
    await worker.tick()
    gate, before = await worker.world.store.gate("facebook"), len(worker.asked())

    await worker.tick_later()

    assert gate.breaker == "configuration"
    assert len(worker.asked()) == before + 1


async def test_an_answer_shows_the_key_to_be_right_without_a_sample(worker: Worker) -> None:
    names = many(worker, 2)
    worker.refresher.script(names[1], UNDECRYPTABLE)
    samples = calls(worker, "vault.sample")

    await worker.tick()

    assert (worker.jobs(), worker.marked(), samples) == ([names[0]], [names[1]], [])


async def test_a_wrong_key_is_tried_on_few_and_leaves_nobody_claimed(worker: Worker) -> None:
    names = [name for platform in ("facebook", "google") for name in many(worker, 30, platform)]
    worker.refresher.key_is_right = False
    tried = calls(worker, "refresher.refresh")

    outcome = await worker.tick()

    assert 1 <= len(tried) <= 20
    assert {worker.state(name) for name in names} == {"due"}
    assert outcome.report.deferred == 60


async def test_a_wave_ends_the_requests_as_soon_as_it_is_one(worker: Worker) -> None:
    many(worker, 60)
    worker.refresher.outages["google"] = INVALID_GRANT

    outcome = await worker.tick()

    assert len(worker.asked()) == WAVE_MIN
    assert outcome.report.deferred == 60
