"""The demo's clock: nobody waits, everybody wakes in order, and requests take no time."""

import asyncio

from clearlift_adapters.demo.timelapse import Timelapse


async def test_sleepers_wake_in_the_order_of_their_times_and_see_them() -> None:
    clock = Timelapse(1_000)
    woken: list[tuple[str, int]] = []

    async def sleep(name: str, *naps: int) -> None:
        for ms in naps:
            await clock.sleep(ms)
            woken.append((name, clock.now()))

    await asyncio.gather(sleep("a", 300, 300), sleep("b", 100, 400), sleep("c", 200))

    assert woken == [("b", 1_100), ("c", 1_200), ("a", 1_300), ("b", 1_500), ("a", 1_600)]


async def test_nobody_wakes_while_a_request_is_under_way() -> None:
    clock = Timelapse(0)
    answered = asyncio.Event()
    seen: list[int] = []

    async def request() -> None:
        await clock.sleep(100)
        with clock.standing_still():
            await answered.wait()
            seen.append(clock.now())

    async def sleep() -> None:
        await clock.sleep(200)
        seen.append(clock.now())

    tasks = [asyncio.create_task(request()), asyncio.create_task(sleep())]
    for _ in range(20):
        await asyncio.sleep(0)
    assert seen == []
    answered.set()
    await asyncio.gather(*tasks)

    assert seen == [100, 200]


async def test_cancelled_sleeper_holds_nobody_up_and_time_never_runs_backwards() -> None:
    clock = Timelapse(1_000)
    sleeper = asyncio.create_task(clock.sleep(50))
    await asyncio.sleep(0)
    sleeper.cancel()

    await clock.sleep(100)
    clock.set(500)

    assert sleeper.cancelled()
    assert clock.now() == 1_100
