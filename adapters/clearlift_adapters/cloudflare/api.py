"""One client for Cloudflare's REST API: envelopes, deadlines, retries, the request budget.

Plain httpx. The official SDK retries a POST by itself: one INSERT became two rows, one push two
deliveries. Here a request is sent again only if it is said to be repeatable, and only if it was
refused before it was done, or may have been lost.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx
import msgspec

from clearlift_adapters.cloudflare.budget import Budget
from clearlift_adapters.cloudflare.errors import AmbiguousError, ApiError, is_final, meaning
from clearlift_adapters.oauth.retry_after import retry_after_ms
from clearlift_engine.errors import CronWorkerError, UnavailableError
from clearlift_engine.ports import Clock

DEADLINE_S: Final = 40.0  # D1 itself gives up after 30.
ATTEMPTS_MAX: Final = 4
FIRST_WAIT_MS: Final = 200
LONGEST_WAIT_MS: Final = 10_000  # What says to wait longer than that is left to the next run.
BODY_BYTES_MAX: Final = 64 * 1024 * 1024

_TOO_MANY_REQUESTS: Final = 429

Method = Literal["GET", "POST"]


class _Envelope(msgspec.Struct):
    success: bool = False
    errors: list[ApiError] = []
    result: msgspec.Raw = msgspec.Raw(b"null")


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class _LimitedError(UnavailableError):
    """Refused before anything was done, because of the request budget or an overload."""

    def __init__(self, message: str, wait_ms: int) -> None:
        super().__init__(message)
        self.wait_ms = wait_ms


class CloudflareApi:
    """The REST API, for one account."""

    def __init__(self, *, token: str, base_url: str, account: str, clock: Clock) -> None:
        self._clock = clock
        self._budget = Budget(clock)
        self._client = httpx.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/accounts/{account}/",
            headers={"Authorization": f"Bearer {token}", "User-Agent": "clearlift-cron-worker"},
            follow_redirects=False,
            timeout=httpx.Timeout(DEADLINE_S, connect=10.0),
            mounts={"http://": None},
        )
        self.requests = 0  # Sent so far.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: Method,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        service: str,
        repeatable: bool,
    ) -> bytes:
        """Return the JSON of `result`.

        Raises:
            ConfigurationError: the token, an id or a permission is wrong; it says which.
            StatementError: D1 refused the SQL.
            AmbiguousError: the request may have been carried out all the same.
            UnavailableError: it was not carried out.
        """
        content = None if body is None else msgspec.json.encode(body)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._once(method, path, content, service)
            except _LimitedError as exc:
                wait_ms = exc.wait_ms
                if attempt == ATTEMPTS_MAX or wait_ms > LONGEST_WAIT_MS:
                    raise
            except AmbiguousError:
                wait_ms = FIRST_WAIT_MS * 2**attempt
                if attempt == ATTEMPTS_MAX or not repeatable:
                    raise
            # Spread out, so that workers that failed together do not come back together.
            await self._clock.sleep(int(wait_ms * random.uniform(1, 1.5)))  # noqa: S311  no secret
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, method: Method, path: str, content: bytes | None, service: str) -> bytes:
        await self._budget.take()
        self.requests += 1
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._client.request(method, path, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise _LimitedError(f"{service} cannot be reached: {type(exc).__name__}", 0) from exc
        except (httpx.HTTPError, TimeoutError) as exc:
            raise AmbiguousError(f"{service} did not answer: {type(exc).__name__}") from exc
        self._budget.learn(answer.headers)
        errors = _errors(answer)
        if answer.status_code == _TOO_MANY_REQUESTS and not is_final(errors):
            raise self._limited(answer, service)
        return _result(answer, service)

    def _limited(self, answer: httpx.Response, service: str) -> _LimitedError:
        now_ms = self._clock.now()
        wait_ms = retry_after_ms(answer.headers, now_ms)
        if wait_ms is None:
            return _LimitedError(f"{service} is overloaded; safe to run again", FIRST_WAIT_MS)
        until = datetime.fromtimestamp((now_ms + wait_ms) / 1000, UTC).isoformat(timespec="seconds")
        return _LimitedError(
            f"{service} refuses requests until {until}: too many were sent", wait_ms
        )


def _result(answer: httpx.Response, service: str) -> bytes:
    try:
        envelope = _ENVELOPE.decode(answer.content)
    except msgspec.MsgspecError:
        raise _unreadable(answer.status_code, service) from None
    if answer.is_success and envelope.success:
        return bytes(envelope.result)
    raise meaning(answer.status_code, envelope.errors, service=service)


def _errors(answer: httpx.Response) -> Sequence[ApiError]:
    if answer.is_success:
        return ()
    try:
        return _ENVELOPE.decode(answer.content).errors
    except msgspec.MsgspecError:
        return ()


def _unreadable(status: int, service: str) -> CronWorkerError:
    """Return what an answer without an envelope means: an outage gives HTML, say."""
    if status in {401, 403, 404}:
        return meaning(status, [], service=service)
    return AmbiguousError(f"{service} gives an answer that cannot be read (HTTP {status})")
