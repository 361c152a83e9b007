"""The loop that everything else rests on: virtual time, order within a process, none between."""

import asyncio
from contextvars import copy_context
from functools import partial

import pytest

from tests.simulation.dice import Dice
from tests.simulation.loop import PROCESS, StandstillError, VirtualLoop


def order_of_two_processes(seed: int) -> list[str]:
    """Return the order in which two processes of three steps each took them."""
    loop, taken = VirtualLoop(Dice(seed), 0), list[str]()

    async def step(name: str) -> None:
        for number in range(3):
            taken.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def both() -> None:
        tasks: list[asyncio.Task[None]] = []
        for name in "ab":
            context = copy_context()
            context.run(PROCESS.set, name)
            tasks.append(context.run(loop.create_task, step(name)))
        await asyncio.wait(tasks)

    loop.run_until_complete(both())
    loop.close()
    return taken


def test_sleeping_takes_no_time_but_virtual_time() -> None:
    loop = VirtualLoop(Dice(1), 1_000)

    loop.run_until_complete(asyncio.sleep(3_600))
    loop.close()

    assert loop.now_ms == 3_601_000


def test_waiting_for_nothing_is_an_error_and_not_for_ever() -> None:
    loop = VirtualLoop(Dice(1), 0)
    never = loop.create_future()

    with pytest.raises(StandstillError):
        loop.run_until_complete(never)

    loop.close()


def test_processes_overtake_each_other_and_themselves_never() -> None:
    orders = [order_of_two_processes(seed) for seed in range(40)]

    assert len({tuple(order) for order in orders}) > 10
    for order in orders:
        assert [step for step in order if "a" in step] == ["a0", "a1", "a2"]
        assert [step for step in order if "b" in step] == ["b0", "b1", "b2"]


def test_timers_of_one_moment_all_come_before_the_next_moment() -> None:
    loop, rung = VirtualLoop(Dice(1), 0), list[int]()
    for ms in (20, 10, 20, 10):
        loop.call_in(ms, partial(rung.append, ms))

    loop.run_until_complete(asyncio.sleep(1))
    loop.close()

    assert rung == [10, 10, 20, 20]
