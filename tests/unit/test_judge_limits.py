"""What no test of the judgement minded when it was changed: see docs/mutation.md."""

import msgspec
import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT
from clearlift_engine.judge import SUSPECT_MS, WAVE_MIN
from clearlift_engine.pacing import Gate
from clearlift_engine.ports import Refused
from tests.given import NOW_MS
from tests.watched import Side, calls_of
from tests.worker import Worker

DOWN = Refused("transient", "HTTP 503")
MISCONFIGURED = Refused("configuration", "invalid_client")
UNDECRYPTABLE = Refused("permanent", "opens with none", undecryptable=True, asked=False)


def many(worker: Worker, size: int, platform: str = "google") -> list[str]:
    """Add connections that expire."""
    names = [f"{platform} {number:02}" for number in range(size)]
    for name in names:
        worker.expiring(name, platform=platform, refresh_token_encrypted="their own")
    return names


async def suspected_since(worker: Worker, at_ms: int) -> None:
    """Let an earlier tick have seen a wave."""
    suspect = Gate("google", version=1, breaker="suspect", opened_at=at_ms)
    await worker.world.store.append([], suspect)


@pytest.mark.parametrize(("short_of_it_ms", "believed"), [(0, True), (1, False)])
async def test_a_wave_is_believed_once_it_has_lasted_six_hours(
    worker: Worker, short_of_it_ms: int, *, believed: bool
) -> None:
    await suspected_since(worker, NOW_MS - SUSPECT_MS + short_of_it_ms)
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
    worker.watch, samples = calls_of("vault.sample")

    await worker.tick()

    assert (worker.jobs(), worker.marked(), samples) == ([names[0]], [names[1]], [])


async def test_a_wrong_key_is_tried_on_few_and_leaves_nobody_claimed(worker: Worker) -> None:
    names = [name for platform in ("facebook", "google") for name in many(worker, 30, platform)]
    worker.refresher.key_is_right = False
    worker.watch, tried = calls_of("refresher.refresh")

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


async def test_probe_of_a_wave_that_is_no_dead_grant_does_not_say_that_most_are(
    worker: Worker,
) -> None:
    await suspected_since(worker, NOW_MS)
    many(worker, 2)
    worker.refresher.outages["google"] = DOWN

    await worker.tick()

    assert len(worker.asked()) == 1
    assert not worker.heard("most answers say")


async def test_verdict_on_the_provider_goes_on_top_of_what_another_worker_did_to_its_gate(
    worker: Worker,
) -> None:
    many(worker, 1)
    worker.refresher.outages["google"] = MISCONFIGURED
    store, theirs = worker.world.store, list[Gate]()

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before") and worker.asked() and not theirs:
            gate = await store.gate("google")
            theirs.append(msgspec.structs.replace(gate, version=gate.version + 1, failures=3))
            await store.append([], theirs[0])

    worker.watch = watch
    await worker.tick()

    gate = await store.gate("google")
    assert (gate.breaker, gate.failures) == ("configuration", 3)


async def test_each_answer_is_told_of_as_what_it_was(worker: Worker) -> None:
    names = many(worker, 2)
    worker.refresher.script(names[1], Refused("permanent", "no", code="invalid_grant"))

    await worker.tick()

    good, bad = (said for said in worker.said if said.event in {"refreshed", "not refreshed"})
    assert (good[:2], bad[:2]) == (("info", "refreshed"), ("info", "not refreshed"))
    assert (good.fields["connection_id"], good.fields.get("class")) == (names[0], None)
    assert (bad.fields["connection_id"], bad.fields["class"]) == (names[1], "permanent")
