"""Ending early and well: a signal or a deadline stops new work, never what is under way."""

import asyncio
import signal
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final

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

    def restore() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def take() -> None:
        stop.ask()
        restore()

    for number in _SIGNALS:
        loop.add_signal_handler(number, take)
    try:
        yield stop
    finally:
        restore()
