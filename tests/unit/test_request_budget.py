"""Cloudflare's 1,200 requests in five minutes: not run into, however long and hard it goes."""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.cloudflare.budget import REQUESTS_MAX, SPARE, WINDOW_MS, Budget

MOST = 40
FREE = MOST // 2  # So many may go at once.
REMAINING = {"x-ratelimit-limit": "1200", "x-ratelimit-remaining": "10", "x-ratelimit-reset": "50"}


def most_in_any_window(times: Sequence[int]) -> int:
    return max(bisect_left(times, time + WINDOW_MS) - at for at, time in enumerate(times))


async def taken(budget: Budget, clock: FixedClock, count: int) -> list[int]:
    """Return when each of so many requests, one after the other, was let go."""
    times: list[int] = []
    for _ in range(count):
        await budget.take()
        times.append(clock.now())
    return times


async def test_first_half_goes_at_once_and_then_it_slows_down() -> None:
    clock = FixedClock()

    times = await taken(Budget(clock, most=MOST), clock, MOST)

    waits = [later - earlier for earlier, later in pairwise(times)]
    assert times[FREE - 1] == 0
    assert all(wait > 0 for wait in waits[FREE - 1 :])
    assert times[-1] <= WINDOW_MS


@given(pauses=st.lists(st.integers(0, 20_000), min_size=1, max_size=200))
def test_no_five_minutes_have_more_than_the_limit(pauses: list[int]) -> None:
    clock = FixedClock()
    budget = Budget(clock, most=MOST)
    times: list[int] = []

    async def work() -> None:
        for pause_ms in pauses:
            clock.now_ms += pause_ms
            times.extend(await taken(budget, clock, 1))

    asyncio.run(work())

    assert most_in_any_window(times) <= MOST


async def test_tasks_that_ask_together_do_not_go_together() -> None:
    clock = FixedClock()
    budget = Budget(clock, most=MOST)

    times = await asyncio.gather(*(taken(budget, clock, 15) for _ in range(6)))

    flat = sorted(time for each in times for time in each)
    assert FREE < most_in_any_window(flat) <= MOST
    assert flat[FREE] > 0


async def test_limit_leaves_some_to_others_of_the_same_user() -> None:
    clock = FixedClock()

    times = await taken(Budget(clock), clock, REQUESTS_MAX + 1)

    assert REQUESTS_MAX // 2 < most_in_any_window(times) <= REQUESTS_MAX - SPARE


async def test_budget_is_whole_again_five_minutes_later() -> None:
    clock = FixedClock()
    budget = Budget(clock, most=MOST)
    await taken(budget, clock, MOST)

    clock.now_ms += WINDOW_MS
    since = clock.now()
    times = await taken(budget, clock, FREE)

    assert set(times) == {since}


@pytest.mark.parametrize(
    "headers",
    [
        REMAINING,
        {"ratelimit": '"default";r=10;t=50', "ratelimit-policy": '"default";q=1200;w=300'},
        {"ratelimit": '"hour";r=900;t=9, "default"; r=10; t=50'},
    ],
    ids=["x-ratelimit", "ratelimit", "several"],
)
async def test_what_others_have_spent_is_learnt_from_the_headers(headers: dict[str, str]) -> None:
    clock = FixedClock(1_000)
    budget = Budget(clock)

    budget.learn(headers)

    assert budget.wait_ms(1_000) == 50_000 // 10
    assert budget.wait_ms(51_000) == 0


async def test_answer_that_says_nothing_is_left_is_waited_for() -> None:
    clock = FixedClock()
    budget = Budget(clock)

    budget.learn({**REMAINING, "x-ratelimit-remaining": "0"})

    assert await taken(budget, clock, 1) == [50_000]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining": "700", "x-ratelimit-reset": "50"},
        {"ratelimit": '"burst";r=60;t=60', "ratelimit-policy": '"burst";q=100;w=60'},
        {"x-ratelimit-remaining": "soon", "x-ratelimit-reset": "50"},
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1791633600"},
        {"ratelimit": "nonsense"},
    ],
    ids=["none", "enough", "enough of less", "no number", "no end", "an epoch", "unknown"],
)
async def test_headers_that_are_no_reason_to_wait_are_none(headers: dict[str, str]) -> None:
    budget = Budget(FixedClock())

    budget.learn(headers)

    assert budget.wait_ms(0) == 0


async def test_no_header_makes_it_wait_longer_than_a_window() -> None:
    budget = Budget(FixedClock())

    budget.learn({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "999999"})

    assert budget.wait_ms(0) == WINDOW_MS


async def test_clock_that_is_set_back_stops_nobody() -> None:
    clock = FixedClock(WINDOW_MS * 100)
    budget = Budget(clock, most=MOST)
    await taken(budget, clock, MOST)

    clock.now_ms = 0

    assert await taken(budget, clock, FREE) == [0] * FREE
