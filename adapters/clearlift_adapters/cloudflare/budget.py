"""How many requests may still be sent: Cloudflare allows 1,200 in five minutes, per user and all
APIs.

Whoever runs into that limit is refused everything for five minutes, so this worker slows down
before: the first half of the budget is free, what is left of the second is spread over what is left
of the window. What other programs of the same user spend is only seen in the headers of the
answers.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Final

from clearlift_engine.ports import Clock

WINDOW_MS: Final = 5 * 60 * 1000
REQUESTS_MAX: Final = 1_200
SPARE: Final = 100  # Left to dashboards, to wrangler, and to a second process of ours.


class Budget:
    """The requests of the last five minutes."""

    def __init__(self, clock: Clock, *, most: int = REQUESTS_MAX - SPARE) -> None:
        self._clock, self._most = clock, most
        self._sent: deque[int] = deque()
        self._remaining: int | None = None  # As the last answer said, with its window's end.
        self._reset_at = 0

    async def take(self) -> None:
        """Return when one more request may be sent."""
        wait_ms = self.wait_ms(self._clock.now())
        if wait_ms > 0:
            await self._clock.sleep(wait_ms)
        self._sent.append(self._clock.now())

    def wait_ms(self, now_ms: int) -> int:
        """Return how long the next request should wait."""
        while self._sent and self._sent[0] <= now_ms - WINDOW_MS:
            self._sent.popleft()
        left = self._most - len(self._sent)
        window_ms = (self._sent[0] + WINDOW_MS - now_ms) if self._sent else 0
        if self._remaining is not None and self._reset_at > now_ms and self._remaining < left:
            left, window_ms = self._remaining, self._reset_at - now_ms
        if left <= 0:
            return window_ms
        return 0 if left > self._most // 2 else window_ms // left

    def learn(self, headers: Mapping[str, str]) -> None:
        """Note what an answer says of the budget: `x-ratelimit-*`, or `ratelimit: …;r=…;t=…`."""
        remaining, reset_s = headers.get("x-ratelimit-remaining"), headers.get("x-ratelimit-reset")
        if remaining is None:
            found = re.search(r";\s*r=(\d+)\s*;\s*t=(\d+)", headers.get("ratelimit", ""))
            remaining, reset_s = found.groups() if found else (None, None)
        if remaining is None or not remaining.isdecimal():
            return
        self._remaining = int(remaining)
        wait_s = int(reset_s) if reset_s is not None and reset_s.isdecimal() else 0
        self._reset_at = self._clock.now() + wait_s * 1000
