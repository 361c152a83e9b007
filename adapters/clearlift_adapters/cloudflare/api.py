"""One client for Cloudflare's REST API: envelopes, deadlines, retries, the request budget.

Plain httpx. The official SDK retries a POST by itself: one INSERT became two rows, one push two
deliveries. Here a request is sent again only if it is said to be repeatable, and only if it was
refused before it was done, or may have been lost.
"""

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Generic, Literal, NoReturn, Self, TypeVar

import httpx
import msgspec

from clearlift_adapters.cloudflare.budget import Budget
from clearlift_adapters.cloudflare.errors import (
    AmbiguousError,
    ApiError,
    Service,
    is_final,
    meaning,
)
from clearlift_adapters.http_client import body_of, open_client
from clearlift_adapters.oauth.retry_after import retry_after_ms
from clearlift_adapters.oauth.wire import Endpoint
from clearlift_engine.errors import ConfigurationError, CronWorkerError, UnavailableError
from clearlift_engine.policy import iso
from clearlift_engine.ports import Clock

CONNECT_S: Final = 10.0
ATTEMPTS_MAX: Final = 4
FIRST_WAIT_MS: Final = 200  # Then twice as long, each time.
LONGEST_WAIT_MS: Final = 10_000  # What says to wait longer than that is left to the next run.
BODY_BYTES_MAX: Final = 64 * 1024 * 1024

_TOO_MANY_REQUESTS: Final = 429
_OWN_STATUSES: Final = (401, 404)  # Of the API itself, also if a page comes with them.
_TOKEN: Final = re.compile(r"[!-~]+")

Method = Literal["GET", "POST"]
T = TypeVar("T")


class _Envelope(msgspec.Struct):
    success: bool = False
    errors: list[ApiError] = []
    result: msgspec.Raw = msgspec.Raw(b"null")


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """What was asked for, and how many requests before may have been carried out all the same."""

    result: T
    doubts: int


class _LimitedError(UnavailableError):
    """Refused before anything was done; `wait_ms` says for how long, 0 that nobody knows."""

    def __init__(self, message: str, wait_ms: int = 0) -> None:
        super().__init__(message)
        self.wait_ms = wait_ms


class CloudflareApi:
    """The REST API, as one token may use it; the request budget is the token's."""

    def __init__(self, *, token: str, base_url: str, clock: Clock, deadline_s: float) -> None:
        """Open nothing yet.

        Raises:
            ConfigurationError: a token must not go to that URL, or cannot be sent at all.
        """
        if not _TOKEN.fullmatch(token):
            raise ConfigurationError(
                "CLOUDFLARE_API_TOKEN holds what no token does, a space, say: copy it anew"
            )
        self._base = Endpoint(base_url.rstrip("/"), "CLOUDFLARE_API_BASE_URL").url
        self._clock, self._deadline_s = clock, deadline_s
        self._budget = Budget(clock)
        self._refused_until = 0
        self._client = open_client(
            httpx.Timeout(2 * deadline_s, connect=CONNECT_S),
            httpx.Limits(),
            {"Accept-Encoding": "gzip", "Authorization": f"Bearer {token}"},
        )

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
        kind: type[T],
        body: Mapping[str, Any] | None = None,
        *,
        service: Service,
        repeatable: bool,
    ) -> Reply[T]:
        """Return `result`, decoded as `kind`; `path` begins with the account.

        Raises:
            ConfigurationError: the token, an id or a permission is wrong; it says which.
            StatementError: D1 refused the SQL.
            SizeError: Queues refused a batch for its size.
            AmbiguousError: the request may have been carried out all the same.
            UnavailableError: it was not carried out.
        """
        content = None if body is None else msgspec.json.encode(body)
        doubts = 0
        for attempt in range(ATTEMPTS_MAX):
            try:
                result = await self._once(method, path, content, service)
                return Reply(_decoded(result, kind, service), doubts)
            except _LimitedError as exc:
                asked_ms = exc.wait_ms
                if attempt == ATTEMPTS_MAX - 1 or asked_ms > LONGEST_WAIT_MS:
                    raise
            except AmbiguousError:
                asked_ms = 0
                doubts += 1
                if attempt == ATTEMPTS_MAX - 1 or not repeatable:
                    raise
            # Spread out, so that workers that failed together do not come back together.
            wait_ms = max(asked_ms, FIRST_WAIT_MS * 2**attempt)
            await self._clock.sleep(int(wait_ms * random.uniform(1, 1.5)))  # noqa: S311  no secret
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self, method: Method, path: str, content: bytes | None, service: Service
    ) -> msgspec.Raw:
        now_ms = self._clock.now()
        if self._refused_until - now_ms > LONGEST_WAIT_MS:
            self._refuse(service, self._refused_until - now_ms)
        await self._budget.take()
        try:
            async with asyncio.timeout(self._deadline_s):
                status, headers, text = await self._exchange(method, path, content)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise _LimitedError(f"{service} cannot be reached: {type(exc).__name__}") from exc
        except (httpx.HTTPError, TimeoutError) as exc:
            raise AmbiguousError(f"{service} did not answer: {type(exc).__name__}") from exc
        self._budget.learn(headers)
        envelope = _opened(text)
        errors = [] if envelope is None else envelope.errors
        if status == _TOO_MANY_REQUESTS and not is_final(errors):
            self._limited(headers, service)
        return _result(status, envelope, errors, service)

    async def _exchange(
        self, method: Method, path: str, content: bytes | None
    ) -> tuple[int, httpx.Headers, bytes]:
        url = f"{self._base}/accounts/{path}"
        headers = {} if content is None else {"Content-Type": "application/json"}
        async with self._client.stream(method, url, content=content, headers=headers) as answer:
            encoding = answer.headers.get("content-encoding", "")
            text, flaw = await body_of(answer.aiter_raw(), encoding, BODY_BYTES_MAX)
            if flaw is not None:
                raise httpx.DecodingError(flaw)
            return answer.status_code, answer.headers, text

    def _limited(self, headers: Mapping[str, str], service: Service) -> NoReturn:
        now_ms = self._clock.now()
        wait_ms = retry_after_ms(headers, now_ms)
        if wait_ms is None:
            raise _LimitedError(f"{service} is overloaded: safe to run again")
        self._refused_until = now_ms + wait_ms
        self._refuse(service, wait_ms)

    def _refuse(self, service: Service, wait_ms: int) -> NoReturn:
        until = iso(self._refused_until)
        raise _LimitedError(
            f"{service}: too many requests were sent, and all are refused until {until}: "
            "safe to run again then",
            wait_ms,
        )


def _opened(text: bytes) -> _Envelope | None:
    """Return the envelope, if there is one: an outage gives HTML, say."""
    try:
        return _ENVELOPE.decode(text)
    except msgspec.MsgspecError:
        return None


def _result(
    status: int, envelope: _Envelope | None, errors: Sequence[ApiError], service: Service
) -> msgspec.Raw:
    if httpx.codes.is_success(status) and envelope is not None and envelope.success:
        return envelope.result
    if envelope is None and status not in _OWN_STATUSES:
        raise _unreadable(service, f"HTTP {status}")
    raise meaning(status, errors, service=service)


def _decoded(result: msgspec.Raw, kind: type[T], service: Service) -> T:
    try:
        return msgspec.json.decode(result, type=kind)
    except msgspec.MsgspecError as exc:
        raise _unreadable(service, str(exc)) from None


def _unreadable(service: Service, why: str) -> CronWorkerError:
    return AmbiguousError(f"{service} gives an answer that cannot be read ({why})")
