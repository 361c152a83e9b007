"""Virtual time for a day that takes seconds.

Whoever sleeps wakes at once, in the order in which they would have, and finds the clock moved on.
While a token request is under way the clock stands still: a request takes real time, and if virtual
time ran past it, the pace of the next ones would not be the one that the provider sees.
"""

import asyncio
import heapq
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

from clearlift_engine.ports import (
    Provider,
    Refreshed,
    Refused,
    SealedCredentials,
    SealedTokens,
    TokenRefresher,
)


class Timelapse:
    """The port Clock; `set` moves it on between two ticks."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._requests = 0
        self._moving = False

    def now(self) -> int:
        """Return the virtual time."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move on to `now_ms`; time never runs backwards."""
        self._now_ms = max(self._now_ms, now_ms)

    async def sleep(self, ms: int) -> None:
        """Return `ms` later by this clock, once those who sleep less have woken."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_ms + ms, next(self._numbers), woken))
        self._move_on()
        await woken

    @contextmanager
    def standing_still(self) -> Generator[None]:
        """Let nobody wake until the block ends."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._move_on()

    def _move_on(self) -> None:
        if self._sleepers and not self._requests and not self._moving:
            self._moving = True
            asyncio.get_running_loop().call_soon(self._wake_next)

    def _wake_next(self) -> None:
        # One at a time: whoever wakes may send a request, and then the others sleep on.
        self._moving = False
        if self._requests:
            return
        at_ms, _, woken = heapq.heappop(self._sleepers)
        if not woken.done():  # Or it was cancelled.
            self.set(at_ms)
            woken.set_result(None)
        self._move_on()


class TimedRefresher:
    """A TokenRefresher whose requests take no virtual time."""

    def __init__(self, refresher: TokenRefresher, clock: Timelapse) -> None:
        self._refresher, self._clock = refresher, clock
        self._providers = refresher.providers

    @property
    def providers(self) -> Mapping[str, Provider]:
        return self._providers

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        with self._clock.standing_still():
            return await self._refresher.refresh(platform, credentials)

    def rebase(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        return self._refresher.rebase(platform, tokens, stored)

    def prepare(self) -> None:
        self._refresher.prepare()

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        return self._refresher.opens_any(sample)
