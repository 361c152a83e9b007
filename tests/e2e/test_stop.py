"""A process that is asked to end: what is under way comes home, and nothing new begins."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections import Counter
from typing import Final

import pytest

from clearlift_engine.policy import MINUTE_MS, iso
from tests.e2e.authority import Authority
from tests.e2e.program import Program, connect, ended, until
from tests.given import NOW_MS
from tests.loopback import Visit

EXPIRING: Final = 12
SENT_FIRST: Final = 3
SOON: Final = iso(NOW_MS + MINUTE_MS)


class Slow:
    """Answers that wait until they are let go."""

    def __init__(self, authority: Authority) -> None:
        self._authority, self._go = authority, asyncio.Event()
        authority.otherwise = {f"rt-c{number}": self.answer for number in range(EXPIRING)}

    async def answer(self, visit: Visit) -> None:
        await self._go.wait()
        await self._authority.grant(visit)

    def let_go(self) -> None:
        self._go.set()


async def stopping_tick(program: Program, authority: Authority) -> Process:
    """Return a tick that was asked to end while answers are awaited, and has given up the rest."""
    with program.tables() as tables:
        for number in range(EXPIRING):
            connect(tables, f"c{number}", expires_at=SOON)
    process = await program.start("tick", "--json")
    await until(lambda: len(authority.visits) >= SENT_FIRST)
    process.send_signal(signal.SIGTERM)
    await until(lambda: any(row["transition"] == "refresh_released" for row in log(program)))
    return process


def log(program: Program) -> list[dict[str, str]]:
    return program.rows("outbox")


async def test_answers_under_way_are_committed_and_claims_without_a_request_given_back(
    program: Program, authority: Authority
) -> None:
    slow = Slow(authority)
    process = await stopping_tick(program, authority)

    slow.let_go()
    done = await ended(process)

    sent = [token.removeprefix("rt-") for token in authority.sent]
    states = {row["connection_id"]: row["state"] for row in program.rows("connection_state")}
    assert SENT_FIRST <= len(sent) < EXPIRING
    assert done.code == 0
    assert (done.report["refreshed"], done.report["failed"]) == (len(sent), 0)
    for name in sent:
        assert program.access_token(name) == authority.granted[f"rt-{name}"]
    assert Counter(states.values()) == {"job_created": len(sent), "due": EXPIRING - len(sent)}


async def test_the_next_tick_goes_on_where_the_stopped_one_ended(
    program: Program, authority: Authority
) -> None:
    slow = Slow(authority)
    process = await stopping_tick(program, authority)
    slow.let_go()
    stopped = await ended(process)

    tick = await program.done("tick", "--json", now_ms=NOW_MS + MINUTE_MS)

    assert stopped.report["refreshed"] + tick.report["refreshed"] == EXPIRING
    assert sorted(authority.sent) == sorted(f"rt-c{number}" for number in range(EXPIRING))
    assert (await program.done("replay", "--json")).report["violations"] == []


async def test_a_second_signal_ends_it_at_once_and_a_later_tick_asks_again(
    program: Program, authority: Authority
) -> None:
    slow = Slow(authority)
    process = await stopping_tick(program, authority)
    unanswered = list(authority.sent)

    process.send_signal(signal.SIGTERM)
    killed = await ended(process)
    slow.let_go()
    later = await program.done("tick", "--json", now_ms=NOW_MS + 5 * MINUTE_MS)

    asked = Counter(authority.sent)
    assert killed.code == -signal.SIGTERM
    assert later.report["refreshed"] == EXPIRING
    assert [asked[token] for token in unanswered] == [2] * len(unanswered)
    assert (await program.done("replay", "--json")).report["violations"] == []


async def test_a_tick_ends_between_two_batches(program: Program) -> None:
    with program.tables() as tables:
        for number in range(2_000):
            tables.add_connection(f"c{number}", platform="stripe")

    process = await program.start("tick", "--json", CLEARLIFT_BATCH_SIZE="1")
    await until(lambda: bool(log(program)))
    process.send_signal(signal.SIGINT)
    stopped = await ended(process)
    rest = await program.done("tick", "--json")

    assert stopped.code == 0
    assert stopped.report["jobs_created"] < 2_000
    assert stopped.report["jobs_created"] + rest.report["jobs_created"] == 2_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_relay_that_waits_for_work_ends_with_0(program: Program, number: int) -> None:
    with program.tables() as tables:
        connect(tables, "c", platform="stripe")
    process = await program.start("relay", "--interval", "0.05", "--json")
    await program.done("tick")
    await until(lambda: len(program.rows("queue_messages")) == 1)

    process.send_signal(number)
    done = await ended(process)

    assert (done.code, done.log) == (0, [])
    assert (done.report["delivered"], done.report["pending"]) == (1, 0)
    assert {row["outcome"] for row in program.rows("runs")} == {"done"}
