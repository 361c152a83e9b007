"""Ending early and well: a signal or a deadline stops new work, never what is under way."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType
from typing import Any, Final, TypeVar

from clearlift_adapters.cli import interrupt

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether somebody wants this process to end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ask(self) -> None:
        """Ask for the end."""
        self._event.set()

    def asked(self) -> bool:
        """Return whether it was asked for."""
        return self._event.is_set()

    def asked_by(self, deadline_s: float) -> Callable[[], bool]:
        """Return a question: was it asked for, or have `deadline_s` passed from now on?"""
        end = time.monotonic() + deadline_s
        return lambda: self.asked() or time.monotonic() >= end

    async def until_asked(self) -> None:
        """Return when it is asked for."""
        await self._event.wait()

    async def wait(self, seconds: float) -> None:
        """Return when it is asked for, at the latest after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


# How a command learns that it should end: from signals, or from the process that it is a part of.
Stopping = Callable[[], AbstractContextManager[Stop]]


@contextmanager
def stop_on_signal() -> Generator[Stop]:
    """Take the first SIGTERM or SIGINT as a wish; the second ends the process at once."""
    loop, stop = asyncio.get_running_loop(), Stop()
    before = signal.getsignal(signal.SIGINT)

    def restore() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGINT, before)

    def take() -> None:
        restore()
        signal.signal(signal.SIGINT, interrupt.at_once)
        stop.ask()

    for number in _SIGNALS:
        loop.add_signal_handler(number, take)
    try:
        yield stop
    finally:
        restore()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do `work` in a loop of its own; the first SIGINT cancels it, the second ends the process.

    `asyncio.run` would do only the first, and would raise in the midst of the loop at the second.

    Raises:
        Interruption: it was interrupted, and what it held is closed.
    """
    interrupts: list[int] = []
    with asyncio.Runner() as runner:
        try:
            return runner.run(_interruptible(work, interrupts))
        except asyncio.CancelledError:
            if interrupts:
                raise interrupt.Interruption from None
            raise


async def _interruptible(work: Coroutine[Any, Any, T], interrupts: list[int]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, interrupt.at_once)
        interrupts.append(number)
        loop.call_soon_threadsafe(task.cancel)

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        return await work
    signal.signal(signal.SIGINT, cancel)
    try:
        return await work
    finally:
        signal.signal(signal.SIGINT, before)
