"""A provider that rotates refresh tokens, and revokes the grant of whoever uses one twice."""

import asyncio
from typing import Final, NamedTuple

from clearlift_engine.events import SyncFailed
from tests.e2e.program import Program, ended
from tests.given import NOW_MS, plain
from tests.providers.authorization import AuthorizationServer
from tests.providers.steps import (
    HOUR,
    MINUTE,
    connect_all,
    consume,
    events,
    states,
    stored_tokens,
    until,
)

TICKS = 8


async def tick_together(program: Program, server: AuthorizationServer, now_ms: int) -> int:
    """Run some ticks, all of which begin while an answer is kept back; return their refreshes."""
    already = len(program.rows("runs"))
    await server.order("hold", "org-acme-0")
    runs = [program.done("tick", "--json", now_ms=now_ms) for _ in range(TICKS)]
    running = [asyncio.create_task(run) for run in runs]
    await until(lambda: len(program.rows("runs")) == already + TICKS)
    await server.order("release", "org-acme-0")
    return sum([done.report["refreshed"] for done in await asyncio.gather(*running)])


async def test_ticks_at_once_use_each_refresh_token_once(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_all(program, server, [f"org-acme-{number}" for number in range(60)])

    for round_ms in (NOW_MS, NOW_MS + 2 * HOUR):
        before = stored_tokens(program)
        refreshed = await tick_together(program, server, round_ms)
        await consume(program, now_ms=round_ms)

        asked = server.requests()[-60:]
        assert refreshed == 60
        assert {each.account: each.sent for each in asked} == before
        assert {each.account: each.granted for each in asked} == stored_tokens(program)

    assert len(server.requests()) == 2 * 60
    await program.done("replay", now_ms=round_ms)


class Kill(NamedTuple):
    """A tick that is killed: whose answer is lost by it, who else is served by it, and when."""

    victim: str
    bystander: str
    at_ms: int


KILLS: Final = [
    Kill(f"victim-{number}", f"bystander-{number}", NOW_MS + 15 * MINUTE * number)
    for number in range(20)
]
TOLERATED: Final = {kill.victim for kill in KILLS[::2]}  # The server has an overlap for these.


async def connect_for_kills(program: Program, server: AuthorizationServer) -> None:
    """Connect a pair for each kill, which falls due when its tick comes."""
    for kill in KILLS:
        due = plain(kill.at_ms - HOUR - 1000)
        await connect_all(program, server, (kill.victim, kill.bystander), last_synced_at=due)
    for victim in TOLERATED:
        await server.order("tolerate", victim)


async def lose_answer(program: Program, server: AuthorizationServer, kill: Kill) -> None:
    """Kill a tick when the server has rotated the victim's token and all else is done."""
    await server.order("hold", kill.victim)
    process = await program.start("tick", now_ms=kill.at_ms)
    await server.order("held", kill.victim)
    await until(lambda: states(program).get(kill.bystander) == "job_created")
    await until(lambda: list(states(program).values()).count("refreshing") == 1)
    process.kill()
    await ended(process)


async def test_an_answer_lost_to_a_kill_is_asked_for_once_more(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_for_kills(program, server)

    for kill in KILLS:  # Each tick replays what the one before it has lost.
        await lose_answer(program, server, kill)
    early = await program.done("tick", "--json", now_ms=KILLS[-1].at_ms + MINUTE // 2)
    await program.run("tick", now_ms=KILLS[-1].at_ms + 5 * MINUTE)

    assert early.report["due"] == 0
    stored, recovered = stored_tokens(program), set[str]()
    for kill in KILLS:
        first, second = server.requests(kill.victim)
        assert (first.status, first.sent) == (200, second.sent)
        if second.granted == stored[kill.victim]:
            recovered.add(kill.victim)
        assert len(server.requests(kill.bystander)) == 1
    lost = {connection_id: event.code for connection_id, event in events(program, SyncFailed)}
    assert recovered == TOLERATED
    assert lost == dict.fromkeys({kill.victim for kill in KILLS} - TOLERATED, "rotation_lost")
