"""Token endpoints that misbehave, all of them in one tick, beside one that does not."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from clearlift_engine.events import JobCreated, SyncFailed
from tests.e2e.program import Done, Program, connect
from tests.loopback import (
    Behaviour,
    Visit,
    answer,
    answer_json,
    drip,
    flood,
    loopback,
    stall,
)
from tests.providers.steps import EXPIRED, configure, declared, events

GRANT: Final = {"access_token": "at-new", "refresh_token": "rt-new", "expires_in": 3600}
HTML: Final = {"Content-Type": "text/html"}
ELSEWHERE: Final = {"Location": "http://127.0.0.2:9/token"}
LIMIT_MS: Final = 10_000 + 1_000  # Of one request, and what a slow machine may add to it.
CROWD: Final = 12  # Connections: more than may be under way at once to one provider.

# What each does, what its failure is, and how often it is asked: twice if it may have acted.
MISBEHAVIOURS: Final[Mapping[str, tuple[Behaviour, str, str, int]]] = {
    "silent": (stall, "transient", "timeout", 2),
    "dripping": (drip(msgspec.json.encode(GRANT), every_ms=1000), "transient", "timeout", 2),
    "flooding": (flood(100 * 1024 * 1024), "transient", "http_200", 2),
    "html": (answer(200, b"<html>Sign in</html>", HTML), "transient", "http_200", 2),
    "garbled": (answer(200, b'{"access_token": "at'), "transient", "http_200", 2),
    "moved": (answer(307, b"", ELSEWHERE), "transient", "http_307", 1),
    "mistaken": (answer_json(200, {"error": "invalid_grant"}), "permanent", "invalid_grant", 1),
}
HEALTHY: Final = answer_json(200, GRANT)


class Tick(NamedTuple):
    """What one tick has come to."""

    program: Program
    done: Done
    visits: list[str]  # Which provider was asked, each time.


@asynccontextmanager
async def endpoints(
    program: Program, behaviours: Mapping[str, Behaviour]
) -> AsyncGenerator[list[str]]:
    """Serve each behaviour as a provider of its own; yield who is asked."""
    asked: list[str] = []

    async def behave(visit: Visit) -> None:
        asked.append(visit.target.rpartition("/")[2])
        await behaviours[asked[-1]](visit)

    async with loopback(behave) as server:
        configure(program, *declared({name: f"{server.url}/{name}" for name in behaviours}))
        yield asked


async def tick_among_all(program: Program) -> Tick:
    """Run one tick over all that misbehave; a crowd for the silent one, and for a healthy one."""
    behaviours = {name: behaviour for name, (behaviour, *_) in MISBEHAVIOURS.items()}
    crowds = {"silent": CROWD, "healthy": CROWD}
    with program.tables() as tables:
        for name in (*behaviours, "healthy"):
            for number in range(crowds.get(name, 1)):
                connect(tables, f"{name}-{number}", platform=name, expires_at=EXPIRED)
    async with endpoints(program, {**behaviours, "healthy": HEALTHY}) as asked:
        done = await program.run("tick", "--json")
    return Tick(program, done, asked)


@pytest.fixture(scope="module")
def tick(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Tick:
    """Return what came of the one tick that most tests here look at: it takes its time."""
    program = Program(tmp_path_factory.mktemp("misbehaviour"))
    shutil.copy(empty_database, program.file)
    return asyncio.run(tick_among_all(program))


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_misbehaving_endpoint_is_given_up_in_time_and_for_what_it_is(
    tick: Tick, name: str
) -> None:
    _, failure_class, code, requests = MISBEHAVIOURS[name]

    failed = dict(events(tick.program, SyncFailed))[f"{name}-0"]

    assert (failed.failure_class, failed.code) == (failure_class, code)
    assert failed.latency_ms is not None
    assert failed.latency_ms < LIMIT_MS
    assert tick.visits.count(name) <= requests * CROWD
    assert name == "silent" or tick.visits.count(name) == requests


def test_an_endpoint_that_never_answers_holds_up_no_other(tick: Tick) -> None:
    rows = tick.program.rows("outbox")

    ends = [row["connection_id"] for row in rows if row["target"] in {"job_created", "failed"}]
    served = {connection_id for connection_id, _ in events(tick.program, JobCreated)}

    healthy = {f"healthy-{number}" for number in range(CROWD)}
    assert served == healthy
    assert not [each for each in ends[: len(healthy)] if each.startswith("silent")]
    assert tick.done.report["refreshed"] == CROWD


async def test_the_log_says_how_each_request_went_and_holds_no_token(program: Program) -> None:
    busy = answer_json(429, {}, {"Retry-After": "60"})
    behaviours = {"healthy": HEALTHY, "mistaken": MISBEHAVIOURS["mistaken"][0], "busy": busy}
    with program.tables() as tables:
        for name in behaviours:
            connect(tables, name, platform=name, expires_at=EXPIRED)

    async with endpoints(program, behaviours):
        done = await program.run("tick", "-vv")
    requests = [line for line in done.log if "latency_ms" in line]

    assert {(line["provider"], line.get("class"), line.get("code")) for line in requests} == {
        ("healthy", None, None),
        ("mistaken", "permanent", "invalid_grant"),
        ("busy", "throttled", "http_429"),
    }
    assert [line["attempts"] for line in requests] == [1, 1, 1]
    secrets = {"at-new", "rt-new", "a secret of ours"}
    secrets |= {f"{kind}-{name}" for kind in ("at", "rt") for name in behaviours}
    assert not [secret for secret in secrets if secret.encode() in done.err + done.out]
