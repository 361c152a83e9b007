"""What only the network can tell: who can be reached, and what time it is elsewhere."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx

from clearlift_adapters.clock import SystemClock
from clearlift_adapters.doctor.findings import Finding, Findings
from clearlift_adapters.http_client import open_client
from clearlift_engine.alerts import spoken

SKEW_MAX_MS: Final = 10_000
SKEW_HARMFUL_MS: Final = 120_000  # Tokens end within minutes of what is believed.
_TIMEOUT_S: Final = 10.0


class Reply(NamedTuple):
    """What came of asking a host for nothing in particular."""

    name: str
    host: str
    problem: str | None  # None: it answered.
    ahead_ms: int | None  # This machine's clock before the host's; None: it does not say.


async def asked(urls: Mapping[str, str]) -> Sequence[Reply]:
    """Ask each URL for its head, all at once; nothing of ours is sent."""
    timeout, limits = httpx.Timeout(_TIMEOUT_S), httpx.Limits(max_connections=10)
    async with open_client(timeout, limits, {}) as client:
        return await asyncio.gather(*(_asked(client, name, url) for name, url in urls.items()))


async def _asked(client: httpx.AsyncClient, name: str, url: str) -> Reply:
    host = httpx.URL(url).host
    clock, started = SystemClock(), time.monotonic()
    try:
        response = await client.head(url)
    except httpx.HTTPError as exc:
        return Reply(name, host, type(exc).__name__, None)  # Its text may hold the URL.
    took_ms = round((time.monotonic() - started) * 1000)
    theirs = _moment(response.headers.get("date"))
    # The header has whole seconds; on average the answer left half of the way ago.
    ahead = None if theirs is None else clock.now() - took_ms // 2 - theirs - 500
    return Reply(name, host, None, ahead)


def _moment(text: str | None) -> int | None:
    try:
        moment: datetime = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return round(moment.timestamp() * 1000)


def reachable(replies: Sequence[Reply]) -> Findings:
    """Yield who answers, and whether this machine's clock agrees with theirs."""
    for reply in replies:
        values = {"host": reply.host, "answered": reply.problem is None}
        if reply.problem is not None:
            found = f"{reply.host} does not answer ({reply.problem})"
            remedy = "see to DNS, firewall and proxy (HTTPS_PROXY)"
            yield Finding("endpoint", "error", reply.name, found, values, remedy)
        else:
            yield Finding("endpoint", "ok", reply.name, f"{reply.host} answers", values)
    told = [reply for reply in replies if reply.ahead_ms is not None]
    for reply in told:
        ahead_ms = reply.ahead_ms or 0
        off_ms = abs(ahead_ms)
        wrong = off_ms > SKEW_MAX_MS
        side = "ahead of" if ahead_ms > 0 else "behind"
        yield Finding(
            "clock_skew",
            "error" if off_ms > SKEW_HARMFUL_MS else "warning" if wrong else "ok",
            f"the Date header of {reply.host}",
            f"the clock of this machine is {spoken(off_ms)} {side} {reply.host}'s",
            {"host": reply.host, "ahead_ms": ahead_ms},
            "let NTP keep the clock: tokens are refreshed by it" if wrong else None,
        )
