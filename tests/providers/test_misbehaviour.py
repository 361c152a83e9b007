"""Token endpoints that misbehave, all of them in one tick, beside one that does not."""

import asyncio
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from clearlift_engine.events import JobCreated
from tests.e2e.authority import CLIENTS
from tests.e2e.program import Done, Program, connect, ended
from tests.loopback import Behaviour, Visit, answer_json, closed_port, loopback
from tests.providers.misbehaviours import BROKEN, GRANT, HEALTHY, INSIDE_200, LATE, MISBEHAVIOURS
from tests.providers.steps import EXPIRED, configure, declared, events

LIMIT_MS: Final = 10_000 + 1_000  # Of one request, and what a slow machine may add to it.
MEMORY_KIB: Final = 64 * 1024
CROWD: Final = 12  # Connections: more than may be under way at once to one provider.
CROWDS: Final = ("healthy", "silent", "answers-twice", "answers-again")
# What is wrong before a request has arrived, and cannot be a behaviour.
UNREACHED: Final = {
    "refusing": ("transient", "unreachable", 0),
    "hanging-up": BROKEN,
    "plain-for-tls": ("transient", "tls", 0),
    "silent-for-tls": ("transient", "unsent", 0),
}
EXPECTED: Final = {
    **{name: (each.verdict, each.code, each.asked) for name, each in MISBEHAVIOURS.items()},
    **UNREACHED,
}


class Tick(NamedTuple):
    """What one tick has come to."""

    program: Program
    done: Done
    visits: list[str]  # Which provider was asked, each time.
    peak_kib: int
    ordinary_kib: int  # The peak of a tick that asked the healthy one only.

    @property
    def requests(self) -> Mapping[str, dict[str, Any]]:
        """Return what the log says of each connection's last request."""
        lines = [line for line in self.done.log if "latency_ms" in line]
        return {line["connection_id"]: line for line in lines}


async def answers_twice(visit: Visit) -> None:
    """Answer with the right tokens, and at once with others that nobody has asked for."""
    right = {**GRANT, "access_token": f"for-{visit.form['refresh_token']}"}
    await asyncio.gather(answer_json(200, right)(visit), answer_json(200, GRANT)(visit))


async def answers_again(visit: Visit) -> None:
    """Answer with the right tokens, and some time later with others that nobody has asked for."""
    right = {**GRANT, "access_token": f"for-{visit.form['refresh_token']}"}
    await answer_json(200, right)(visit)
    await asyncio.sleep(0.01)
    await answer_json(200, GRANT)(visit)


BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    "healthy": HEALTHY,
    "answers-twice": answers_twice,
    "answers-again": answers_again,
    **{name: each.behaviour for name, each in MISBEHAVIOURS.items()},
}


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
        urls = {name: f"{server.url}/{name}" for name in behaviours}
        own = {f"{name.upper()}_TOKEN_URL": urls.pop(name, server.url) for name in INSIDE_200}
        program.environment.update({**CLIENTS, **own})
        configure(program, *declared(urls))
        yield asked


@asynccontextmanager
async def unreached(program: Program) -> AsyncGenerator[None]:
    """Declare the providers that cannot even be asked."""
    manners = (_hang_up, _speak_plainly, _say_nothing)
    servers = [await asyncio.start_server(manner, "127.0.0.1", 0) for manner in manners]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    urls = {
        "refusing": f"http://127.0.0.1:{closed_port()}/",
        "hanging-up": f"http://127.0.0.1:{ports[0]}/",
        "plain-for-tls": f"https://127.0.0.1:{ports[1]}/",
        "silent-for-tls": f"https://127.0.0.1:{ports[2]}/",
    }
    settings = program.folder / "clearlift.toml"
    settings.write_text(settings.read_text() + "\n" + declared(urls)[0])
    yield
    for server in servers:
        server.close()


async def _speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1):
        pass
    writer.close()


async def peak_kib(process: Process) -> int:
    """Return the most memory that a process had, as long as it could be asked."""
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.returncode is None:
        try:
            lines = status.read_text().splitlines()  # noqa: ASYNC240  it is no disk's
        except OSError:
            return peak
        found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        peak = max([peak, *found])
        await asyncio.sleep(0.02)
    return peak


async def measured(program: Program) -> tuple[Done, int]:
    process = await program.start("tick", "--json", "-vv")
    done, peak = await asyncio.gather(ended(process), peak_kib(process))
    return done, peak


async def tick_among_all(folder: Path, empty_database: Path) -> Tick:
    """Run one tick over all that misbehave, and one over the healthy alone."""
    ordinary, program = (Program(folder / name) for name in ("ordinary", "among all"))
    for each in (ordinary, program):
        each.folder.mkdir()
        shutil.copy(empty_database, each.file)
    names = {ordinary: ["healthy"], program: [*BEHAVIOURS, *UNREACHED]}
    ticks: list[Tick] = []
    for each, platforms in names.items():
        with each.tables() as tables:
            for name in platforms:
                for number in range(CROWD if name in CROWDS else 1):
                    connect(tables, f"{name}-{number}", platform=name, expires_at=EXPIRED)
        async with endpoints(each, BEHAVIOURS) as asked, unreached(each):
            done, peak = await measured(each)
        ticks.append(Tick(each, done, asked, peak, ticks[0].peak_kib if ticks else 0))
    return ticks[-1]


@pytest.fixture(scope="module")
def tick(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Tick:
    """Return what came of the one tick that most tests here look at: it takes its time."""
    return asyncio.run(tick_among_all(tmp_path_factory.mktemp("misbehaviour"), empty_database))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_misbehaving_endpoint_is_given_up_in_time_and_for_what_it_is(
    tick: Tick, name: str
) -> None:
    verdict, code, requests = EXPECTED[name]

    found = tick.requests[f"{name}-0"]

    assert (found.get("class", "refreshed"), found.get("code")) == (verdict, code)
    assert found["latency_ms"] < LIMIT_MS
    assert name in {"silent", *UNREACHED} or tick.visits.count(name) == requests


def test_an_endpoint_that_never_answers_holds_up_no_other(tick: Tick) -> None:
    rows = tick.program.rows("outbox")

    ends = [row["connection_id"] for row in rows if row["target"] in {"job_created", "failed"}]
    last = {ended: index for index, ended in enumerate(ends)}

    healthy = [last[f"healthy-{number}"] for number in range(CROWD)]
    late = [name for name, each in EXPECTED.items() if (each[1], each[2]) == LATE[1:]]
    assert len(late) > 1
    assert max(healthy) < min(last[f"{name}-0"] for name in late)
    assert {f"healthy-{number}" for number in range(CROWD)} <= {
        connection_id for connection_id, _ in events(tick.program, JobCreated)
    }


def test_everybody_else_is_told_apart_and_nobody_is_marked_for_what_is_ours(tick: Tick) -> None:
    marked = {
        row["id"].rpartition("-")[0]
        for row in tick.program.rows("platform_connections")
        if row["sync_status"] == "failed"
    }

    blamed = {name for name, each in EXPECTED.items() if each[0] in {"transient", "permanent"}}
    assert marked == blamed
    assert tick.done.code == 4  # One says for good that its endpoint is elsewhere.


@pytest.mark.parametrize("provider", ["answers-twice", "answers-again"])
def test_an_answer_that_nobody_asked_for_is_given_to_nobody(tick: Tick, provider: str) -> None:
    names = [f"{provider}-{number}" for number in range(CROWD)]

    stored = {name: tick.program.access_token(name) for name in names}

    assert stored == {name: f"for-rt-{name}" for name in names}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process had at most")
def test_whatever_they_send_takes_64_megabytes_at_most(tick: Tick) -> None:
    assert 0 < tick.ordinary_kib < tick.peak_kib
    assert tick.peak_kib - tick.ordinary_kib < MEMORY_KIB


def test_no_secret_is_in_any_text(tick: Tick) -> None:
    told = tick.done.err + tick.done.out + tick.program.file.read_bytes()

    secrets = {"at-new", "rt-new", "a secret of ours", "for-rt", "rt-echoing-0", "rt-healthy-0"}
    secrets |= {f"{kind}-{name}-0" for kind in ("at", "rt") for name in EXPECTED}
    assert not [secret for secret in secrets if secret.encode() in told]


async def test_the_log_says_how_each_request_went_and_how_often_it_was_made(
    program: Program,
) -> None:
    names = ("healthy", "error-inside-200", "again-in-ages")
    with program.tables() as tables:
        for name in names:
            connect(tables, name, platform=name, expires_at=EXPIRED)

    async with endpoints(program, {name: BEHAVIOURS[name] for name in names}):
        done = await program.run("tick", "-vv")
    requests = [line for line in done.log if "latency_ms" in line]

    assert {(line["provider"], line.get("class"), line.get("code")) for line in requests} == {
        ("healthy", None, None),
        ("error-inside-200", "permanent", "invalid_grant"),
        ("again-in-ages", "throttled", "http_429"),
    }
    assert [line["attempts"] for line in requests] == [1, 1, 1]
