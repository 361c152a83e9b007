"""The clocks: virtual time moves by sleeping, and in the order of waking."""

import asyncio

from clearlift_adapters.clock import FixedClock, ShiftedClock, SystemClock


async def test_fixed_clock_moves_by_what_is_slept_and_by_nothing_else() -> None:
    clock = FixedClock(1000)

    await asyncio.sleep(0)
    before = clock.now()
    await clock.sleep(250)

    assert (before, clock.now()) == (1000, 1250)


async def test_sleepers_wake_in_the_order_of_virtual_time() -> None:
    clock = FixedClock()
    woken = list[tuple[str, int]]()

    async def sleep(name: str, ms: int) -> None:
        await clock.sleep(ms)
        woken.append((name, clock.now()))

    await asyncio.gather(sleep("long", 900), sleep("short", 100), sleep("middle", 500))

    assert woken == [("short", 100), ("middle", 500), ("long", 900)]


async def test_cancelled_sleeper_does_not_keep_the_others_waiting() -> None:
    clock = FixedClock()
    first, second = asyncio.create_task(clock.sleep(10)), asyncio.create_task(clock.sleep(20))
    await asyncio.sleep(0)

    first.cancel()

    await second
    assert first.cancelled()
    assert clock.now() == 20


async def test_shifted_clock_shows_the_very_time_it_was_set_to_and_runs_on() -> None:
    clock = ShiftedClock(1000)

    first = clock.now()
    await clock.sleep(2)

    assert first == 1000
    assert clock.now() > first


async def test_system_clock_tells_milliseconds_since_1970() -> None:
    clock = SystemClock()
    before = clock.now()

    await clock.sleep(1)

    assert clock.now() >= before > 1_700_000_000_000
