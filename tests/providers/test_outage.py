"""A provider that is down for an hour, and what becomes of its many connections."""

from itertools import pairwise

import pytest

from clearlift_engine.events import RefreshStarted, SyncFailed
from tests.e2e.program import Program, connect
from tests.given import NOW_MS
from tests.loopback import Visit, answer_json, closed_port, loopback
from tests.providers.steps import (
    EXPIRED,
    MINUTE,
    configure,
    declared,
    events,
    states,
    sync_statuses,
)

FAILING = answer_json(503, {"error": "server_error"})
GRANTING = answer_json(200, {"access_token": "at-new", "expires_in": 3600})


async def claims_of_ticks(program: Program, *minutes: int) -> list[int]:
    """Run a tick at each of these minutes, and return how many requests each has claimed."""
    claims = [len(events(program, RefreshStarted))]
    for minute in minutes:
        await program.run("tick", now_ms=NOW_MS + minute * MINUTE)
        claims.append(len(events(program, RefreshStarted)))
    return [after - before for before, after in pairwise(claims)]


@pytest.mark.parametrize(("down", "connections"), [("unreachable", 1_000), ("failing", 200)])
async def test_a_provider_that_is_down_gets_one_probe_a_tick_and_nobody_has_to_reconnect(
    program: Program, down: str, connections: int
) -> None:
    with program.tables() as tables:
        for number in range(connections):
            connect(tables, f"org-acme-{number}", platform="acme", expires_at=EXPIRED)
    is_down = True

    async def behave(visit: Visit) -> None:
        await (FAILING if is_down else GRANTING)(visit)

    async with loopback(behave) as server:
        away = f"http://127.0.0.1:{closed_port()}/token"
        configure(program, *declared({"acme": away if down == "unreachable" else server.url}))
        first, *probes = await claims_of_ticks(program, 0, 15, 30, 45)
        failures = [failure for _, failure in events(program, SyncFailed)]
        is_down = False
        configure(program, *declared({"acme": server.url}))
        await claims_of_ticks(program, 60, 75)

    assert (first <= 20, probes) == (True, [1, 1, 1])
    assert {failure.failure_class for failure in failures} == {"transient"}
    assert all(failure.retry_at is not None for failure in failures)
    assert list(states(program).values()) == ["job_created"] * connections
    assert sync_statuses(program) == {"pending"}
