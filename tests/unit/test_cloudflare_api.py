"""The client of Cloudflare's API: what it sends again, what it waits for, what it never does."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import chain, pairwise, repeat
from typing import Any, NamedTuple

import pytest

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.cloudflare.api import ATTEMPTS_MAX, CloudflareApi, Reply
from clearlift_adapters.cloudflare.errors import AmbiguousError, StatementError
from clearlift_engine.errors import ConfigurationError, UnavailableError
from tests.given import NOW_MS
from tests.loopback import (
    Behaviour,
    Visit,
    answer,
    answer_json,
    break_off,
    closed_port,
    flood,
    loopback,
    reset,
    stall,
)

OK = answer_json(200, {"success": True, "errors": [], "messages": [], "result": [1]})
OVERLOADED = answer_json(429, {"success": False, "errors": [{"code": 7429, "message": "busy"}]})
BROKEN = answer_json(500, {"success": False, "errors": [{"code": 7500, "message": "internal"}]})


def limited(retry_after: str) -> Behaviour:
    return answer_json(429, {"success": False, "errors": []}, {"retry-after": retry_after})


class Client(NamedTuple):
    """A client, its clock, and who came to the server that it speaks to."""

    api: CloudflareApi
    clock: FixedClock
    visits: Sequence[Visit]
    times: Sequence[int]  # At which they came.

    async def ask(self, *, repeatable: bool = True) -> Reply[list[int]]:
        return await self.api.call(
            "POST", "acc/x", list[int], {"a": 1}, service="D1", repeatable=repeatable
        )


@asynccontextmanager
async def client(*behaviours: Behaviour, deadline_s: float = 20) -> AsyncGenerator[Client]:
    """Open a client whose requests meet these in turn, and the last one for ever."""
    clock, turns = FixedClock(NOW_MS), chain(behaviours, repeat(behaviours[-1]))
    times: list[int] = []

    async def behave(visit: Visit) -> None:
        times.append(clock.now())
        await next(turns)(visit)

    async with loopback(behave) as server:
        base = server.url.removesuffix("/token")
        async with CloudflareApi(
            token="geheim", base_url=base, clock=clock, deadline_s=deadline_s
        ) as api:
            yield Client(api, clock, server.visits, times)


async def test_result_comes_decoded_and_the_token_goes_along() -> None:
    async with client(OK) as it:
        reply = await it.ask()

    assert reply == Reply([1], doubts=0)
    [visit] = it.visits
    assert (visit.method, visit.target) == ("POST", "/accounts/acc/x")
    assert visit.headers["authorization"] == "Bearer geheim"


@pytest.mark.parametrize("trouble", [reset, break_off, BROKEN, answer(502, b"<html>")])
async def test_what_may_have_been_done_is_sent_again_if_it_may_be(trouble: Behaviour) -> None:
    async with client(trouble, trouble, OK) as it:
        reply = await it.ask()

    assert reply == Reply([1], doubts=2)
    assert len(it.visits) == 3


@pytest.mark.parametrize("trouble", [reset, break_off, BROKEN, answer(502, b"<html>")])
async def test_what_may_not_be_repeated_is_sent_once(trouble: Behaviour) -> None:
    async with client(trouble) as it:
        with pytest.raises(AmbiguousError):
            await it.ask(repeatable=False)

    assert len(it.visits) == 1


async def test_each_wait_is_longer_than_the_one_before_and_the_last_attempt_is_the_last() -> None:
    async with client(BROKEN) as it:
        with pytest.raises(AmbiguousError):
            await it.ask()

    waits = [later - earlier for earlier, later in pairwise(it.times)]
    assert len(it.times) == ATTEMPTS_MAX
    assert all(200 * 2**n <= wait <= 300 * 2**n for n, wait in enumerate(waits))


@pytest.mark.parametrize(("trouble", "least_ms"), [(OVERLOADED, 200), (limited("7"), 7_000)])
async def test_what_was_refused_unseen_is_sent_again_when_the_answer_says(
    trouble: Behaviour, least_ms: int
) -> None:
    async with client(trouble, OK) as it:
        reply = await it.ask(repeatable=False)

    assert reply == Reply([1], doubts=0)
    assert least_ms <= it.clock.now() - NOW_MS <= least_ms * 1.5


async def test_long_refusal_is_not_waited_for_and_nothing_is_sent_until_it_ends() -> None:
    async with client(limited("120"), OK) as it:
        for _ in range(2):
            with pytest.raises(UnavailableError, match=r"until 2026-10-10T12:02:00\.000Z"):
                await it.ask()
        refused = len(it.visits)
        it.clock.now_ms += 120_000
        reply = await it.ask()

    assert (refused, len(it.visits)) == (1, 2)
    assert reply.result == [1]


async def test_refused_connection_is_tried_again_after_a_while() -> None:
    clock = FixedClock(NOW_MS)
    base = f"http://127.0.0.1:{closed_port()}"
    async with CloudflareApi(token="t", base_url=base, clock=clock, deadline_s=9) as api:
        with pytest.raises(UnavailableError, match="D1 cannot be reached"):
            await api.call("GET", "x", object, service="D1", repeatable=False)

    assert clock.now() - NOW_MS >= 200 + 400 + 800


@pytest.mark.parametrize("slow", [stall, flood(128 * 1024 * 1024)], ids=["silent", "endless"])
async def test_answer_that_does_not_end_is_given_up(slow: Behaviour) -> None:
    async with client(slow, deadline_s=0.2) as it:
        with pytest.raises(AmbiguousError, match="D1 did not answer"):
            await it.ask(repeatable=False)


def enveloped(result: object) -> Behaviour:
    return answer_json(200, {"success": True, "errors": [], "result": result})


@pytest.mark.parametrize("odd", [enveloped("text"), enveloped(None), answer(200, b"OK")])
async def test_answer_of_another_shape_is_no_answer(odd: Behaviour) -> None:
    async with client(odd) as it:
        with pytest.raises(AmbiguousError, match="cannot be read"):
            await it.ask(repeatable=False)


async def test_result_may_be_missing_where_nothing_is_expected() -> None:
    async with client(answer_json(200, {"success": True})) as it:
        reply = await it.api.call("GET", "x", object, service="Queues", repeatable=False)

    assert reply == Reply(None, doubts=0)


async def test_refused_statement_is_sent_once() -> None:
    no = {"success": False, "errors": [{"code": 7500, "message": "UNIQUE constraint failed"}]}
    async with client(answer_json(400, no)) as it:
        with pytest.raises(StatementError):
            await it.ask()

    assert len(it.visits) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token": "two words"}, "CLOUDFLARE_API_TOKEN"),
        ({"token": "geheim\n"}, "CLOUDFLARE_API_TOKEN"),
        ({"base_url": "http://api.example/v4"}, "CLOUDFLARE_API_BASE_URL is plain http"),
        ({"base_url": "api.example"}, "CLOUDFLARE_API_BASE_URL is not an https URL"),
    ],
)
def test_token_goes_nowhere_it_should_not(changes: dict[str, Any], why: str) -> None:
    settings: dict[str, Any] = {"token": "geheim", "base_url": "https://api.example", **changes}

    with pytest.raises(ConfigurationError, match=why) as raised:
        CloudflareApi(clock=FixedClock(), deadline_s=1, **settings)

    assert "geheim" not in str(raised.value)
