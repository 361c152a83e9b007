"""The pace of requests as a provider sees it, when our side is slow or sends something twice."""

from itertools import pairwise

from clearlift_engine.ports import Refused
from clearlift_engine.refresh import REPLAY_AFTER_MS
from tests.given import NOW_MS
from tests.watched import Side
from tests.worker import Worker

LOST = Refused("transient", "no answer", ambiguous=True)


def gaps(worker: Worker) -> list[int]:
    """Return the time between each request and the next, ms."""
    times = sorted(call.at for call in worker.refresher.calls)
    return [later - earlier for earlier, later in pairwise(times)]


async def test_slots_that_went_by_during_a_slow_commit_do_not_all_leave_at_once(
    worker: Worker,
) -> None:
    for number in range(20):
        worker.expiring(f"c{number}")

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "after") and not worker.asked():
            worker.clock.now_ms += 700

    worker.watch = watch
    await worker.tick()

    assert len(worker.asked()) == len(worker.jobs()) == 20
    assert min(gaps(worker)) >= 100


async def test_request_that_is_sent_again_leaves_in_the_slot_that_was_taken_for_it(
    worker: Worker,
) -> None:
    for number in range(4):
        worker.expiring(f"c{number}", platform="facebook", refresh_token_encrypted=None)
        worker.refresher.script(f"c{number}", LOST)

    await worker.tick()

    gate = await worker.world.store.gate("facebook")
    times = sorted(call.at for call in worker.refresher.calls)
    assert times == [NOW_MS] * 4 + [NOW_MS + REPLAY_AFTER_MS] * 4
    assert list(gate.slots) == times
