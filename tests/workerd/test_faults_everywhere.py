"""Every fault at every request of a tick and a relay, then a clean run: nothing is lost, or twice.

CLEARLIFT_PROOF=full takes every request; else every seventh one has its turn, other ones for each
fault.
"""

import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import pytest

from clearlift_adapters.cli import exits
from clearlift_engine.policy import MINUTE_MS
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.faults import FOREVER, Fault
from tests.workerd.shift import DEADLINE_S, Shift, shift

READY: Final = ("r1", "r2", "r3")
EXPIRING: Final = ("e1", "e2", "e3")  # At a provider that rotates.
EVERYBODY: Final = dict.fromkeys((*READY, *EXPIRING), 1)
REQUESTS: Final = 14  # Of a tick and a relay without a fault; the first test counts them.
PUSHES: Final = 2  # Among these.
LATER_MS: Final = 16 * MINUTE_MS  # Leases have run out, and whatever was put off is due.
PATIENCE_S: Final = 0.3  # Where an answer comes too late.

_STEP: Final = 1 if os.environ.get("CLEARLIFT_PROOF") == "full" else 7

# What passes: the same request is answered when it is sent again.
PASSING: Final[Mapping[str, Fault]] = {
    "5xx before": faults.internal_error(),
    "5xx after": faults.internal_error(when="after"),
    "page before": faults.html(),
    "page after": faults.html(when="after"),
    "reset before": faults.reset(),
    "reset after": faults.reset(when="after"),
    "overloaded": faults.overloaded(),
    "429 for a second": faults.rate_limited(retry_after_s=1),
    "answered late": faults.late(600, when="after"),
    "done late": faults.late(600, when="before"),
    **{f"cut after {count}": faults.cut_short(count) for count in range(6)},
}
# What lasts, from that request on, until the run has ended.
LASTING: Final[Mapping[str, Fault]] = {
    **{name: PASSING[name] for name in ("5xx before", "5xx after", "page before", "reset after")},
    **{f"cut after {count}": faults.cut_short(count) for count in range(6)},
    "429 for two minutes": faults.rate_limited(retry_after_s=120),
    "token revoked": faults.error(401, 10000, "Authentication error"),
}
_AFTERWARDS: Final = ("5xx after", "page after", "reset after", "answered late", "done late")


def places(name: str) -> range:
    """Return at which requests a fault is tried."""
    first = sum(name.encode()) % _STEP
    return range(1 + first, 1 + REQUESTS, _STEP)


@asynccontextmanager
async def everybody_due(
    running: Cloudflare, *, deadline_s: float = DEADLINE_S
) -> AsyncGenerator[Shift]:
    async with shift(running, deadline_s=deadline_s) as worker:
        for connection_id in READY:
            worker.seed.add_connection(connection_id, platform="stripe")
        for connection_id in EXPIRING:
            worker.expiring(connection_id, platform="tiktok")
        yield worker


async def clean_run(worker: Shift) -> None:
    """Run without faults, as often as a connection may have to be put off."""
    worker.clock.now_ms += LATER_MS
    assert await worker.tick_and_relay() == [0, 0]


async def all_is_well(worker: Shift) -> None:
    """Assert what must hold in the end, whatever went wrong on the way."""
    assert Counter(worker.jobs()) == EVERYBODY
    assert [row["status"] for row in worker.seed.rows("sync_jobs")] == ["completed"] * 6
    assert await worker.violations() == []
    assert worker.marked() == []
    assert worker.copies().keys() == EVERYBODY.keys()
    assert set(worker.effects().values()) == {1}
    assert len(worker.effects()) == len(EVERYBODY)


async def test_a_run_without_faults_has_as_many_requests_as_are_tried(
    workerd: Cloudflare,
) -> None:
    async with everybody_due(workerd) as worker:
        before = len(workerd.requests())

        codes = await worker.tick_and_relay()

        routes = Counter(each.route for each in workerd.requests()[before:])
        assert codes == [0, 0]
        assert routes == {"query": REQUESTS - PUSHES, "messages/batch": PUSHES}
        await all_is_well(worker)
        assert worker.copies() == EVERYBODY


@pytest.mark.parametrize("name", PASSING)
async def test_fault_that_passes_is_not_noticed_but_by_the_queue(
    workerd: Cloudflare, name: str
) -> None:
    deadline_s = PATIENCE_S if name.endswith("late") else DEADLINE_S
    for place in places(name):
        async with everybody_due(workerd, deadline_s=deadline_s) as worker:
            workerd.inject(PASSING[name].at("*", place))

            codes = await worker.tick_and_relay()

            workerd.inject()
            doubts = _doubtful_pushes(worker) if name in _AFTERWARDS else 0
            await clean_run(worker)
            assert codes == [0, 0], place
            await all_is_well(worker)
            assert max(worker.copies().values()) <= 1 + doubts, place


@pytest.mark.parametrize("name", LASTING)
async def test_outage_from_any_request_on_is_made_good_by_the_next_run(
    workerd: Cloudflare, name: str
) -> None:
    for place in places(name):
        async with everybody_due(workerd) as worker:
            workerd.inject(LASTING[name].at("*", place, times=FOREVER))

            codes = await worker.tick_and_relay()

            workerd.inject()
            doubts = _doubtful_pushes(worker) if name in _AFTERWARDS else 0
            unrecorded = _unrecorded_pushes(worker)
            await clean_run(worker)
            assert set(codes) <= {exits.DONE, _code_of(name)}, place
            assert codes != [0, 0], place
            await all_is_well(worker)
            assert max(worker.copies().values()) <= 1 + doubts + unrecorded, place


def _code_of(name: str) -> int:
    return exits.MISCONFIGURED if name == "token revoked" else exits.UNREACHABLE


def _doubtful_pushes(worker: Shift) -> int:
    """Return how often at most the queue took something, and its answer was lost."""
    pushes = [each for each in worker.running.requests() if each.route == "messages/batch"]
    return max(len(pushes) - PUSHES, sum(each.status != 200 for each in pushes))


def _unrecorded_pushes(worker: Shift) -> int:
    """Return 1 if the queue took something and the database did not hear of it."""
    waiting = {
        row["connection_id"]
        for row in worker.seed.rows("connection_state")
        if row["state"] == "job_created"
    }
    return int(bool(waiting & worker.copies().keys()))
