"""How many requests may still be sent: Cloudflare allows 1,200 in five minutes, per user and all
APIs.

Whoever runs into that limit is refused everything for five minutes, so this worker slows down
before: the first half of the budget is free, what is left of the second is spread over what is left
of the window. What other programs of the same user spend is only seen in the headers of the
answers.
"""

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from clearlift_engine.ports import Clock

WINDOW_MS: Final = 5 * 60 * 1000
REQUESTS_MAX: Final = 1_200
SPARE: Final = 100  # Left to dashboards, to wrangler, and to a second process of ours.

# developers.cloudflare.com/fundamentals/api/reference/limits: `"default";r=50;t=30`, a list of such
# items; in the policy, `"default";q=1200;w=300`.
_ITEM: Final = re.compile(r'"([^"]*)"\s*;\s*r=(\d{1,9})\s*;\s*t=(\d{1,9})')
_POLICY: Final = re.compile(r'"([^"]*)"\s*;\s*q=(\d{1,9})')
_NUMBER: Final = re.compile(r"\d{1,9}")


class Limit(NamedTuple):
    """What an answer says is left of a quota, and until when."""

    left: int
    quota: int
    reset_at: int


class Budget:
    """The requests of the last five minutes."""

    def __init__(self, clock: Clock, *, most: int = REQUESTS_MAX - SPARE) -> None:
        self._clock, self._most = clock, most
        self._sent: deque[int] = deque()
        self._told = Limit(0, 0, 0)
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Return when one more request may be sent; who came first goes first."""
        async with self._turn:
            wait_ms = self.wait_ms(self._clock.now())
            if wait_ms > 0:
                await self._clock.sleep(wait_ms)
            self._sent.append(self._clock.now())

    def wait_ms(self, now_ms: int) -> int:
        """Return how long the next request should wait."""
        # A clock that was set back leaves times behind that are still to come: they go too.
        while self._sent and not now_ms - WINDOW_MS < self._sent[0] <= now_ms:
            self._sent.popleft()
        end_ms = self._sent[0] + WINDOW_MS if self._sent else now_ms
        own = Limit(self._most - len(self._sent), self._most, end_ms)
        return max(_wait_ms(limit, now_ms) for limit in (own, self._told))

    def learn(self, headers: Mapping[str, str]) -> None:
        """Note what an answer says is left, of the quota that has the least left."""
        now_ms = self._clock.now()
        quotas = dict(_POLICY.findall(headers.get("ratelimit-policy", "")))
        told = [
            (left, quotas.get(name, REQUESTS_MAX), reset_s)
            for name, left, reset_s in _ITEM.findall(headers.get("ratelimit", ""))
        ]
        names = ("x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset")
        left, quota, reset_s = (headers.get(name, "") for name in names)
        if _NUMBER.fullmatch(left) and _NUMBER.fullmatch(reset_s):
            told.append((left, quota if _NUMBER.fullmatch(quota) else REQUESTS_MAX, reset_s))
        limits = [
            Limit(int(left), int(quota), now_ms + min(int(reset_s) * 1000, WINDOW_MS))
            for left, quota, reset_s in told
        ]
        if limits:
            self._told = min(limits)


def _wait_ms(limit: Limit, now_ms: int) -> int:
    window_ms = limit.reset_at - now_ms
    if window_ms <= 0 or limit.left > limit.quota // 2:
        return 0
    return window_ms // max(limit.left, 1)
