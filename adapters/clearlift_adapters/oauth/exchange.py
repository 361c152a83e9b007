"""One form to one token endpoint, within limits that hold whatever the other side does.

Three more of httpx's manners are corrected here than http_client.py does (measured on 0.28):

* Its timeout is per read: an endpoint that sends a byte now and then holds it for ever. The
  deadline here is ours, over everything from the wait for a free place to the last byte.
* It does not say whether the request had left when an error came. httpcore's trace does.
* It keeps connections, and takes what was left over in one for the answer to the next request: an
  endpoint, or a proxy, that answers once too often hands one customer's tokens to another. Here
  each request has a connection of its own; at the providers' pace that costs next to nothing.

No encoding is asked for; gzip is understood all the same, because the answer may hold the only copy
of a rotated token.
"""

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx

from clearlift_adapters.http_client import body_of, open_client
from clearlift_adapters.oauth.metered import meter
from clearlift_adapters.oauth.wire import (
    DEADLINE_MS,
    SEND_WITHIN_MS,
    Answer,
    Lost,
    LostKind,
    TokenRequest,
)

# Per endpoint, so that one which never answers takes no place from the others. httpx makes 1,400
# requests/s with 10 under way and 311 with 50, which is still more than several providers allow.
CONCURRENT_MAX: Final = 10
BODY_BYTES_MAX: Final = 64 * 1024  # Of a token answer; the longest known have 5 KB.
BYTES_MAX: Final = 4 * BODY_BYTES_MAX  # Of all that comes, heads and what wraps a body among it.

_KEPT_HEADERS: Final = (
    "content-type",
    "retry-after",
    "x-app-usage",
    "x-business-use-case-usage",
)

Trace = Callable[[str, dict[str, Any]], Awaitable[None]]


class Exchange:
    """One client, one TLS context, at most CONCURRENT_MAX requests at a time to one endpoint."""

    def __init__(
        self, *, deadline_ms: int = DEADLINE_MS, send_within_ms: int = SEND_WITHIN_MS
    ) -> None:
        """Open nothing yet, but read what the environment says of certificates and proxies.

        Raises:
            ConfigurationError: it says something that cannot be used.
        """
        self._deadline_s = deadline_ms / 1000
        self._send_within_s = send_within_ms / 1000
        self._places = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(CONCURRENT_MAX)
        )
        # Ours come first, but for a handshake that hangs: httpcore closes the socket under it
        # after its own timeout, and not after being cancelled.
        self._client = open_client(
            httpx.Timeout(2 * self._deadline_s, connect=0.9 * self._send_within_s),
            httpx.Limits(max_connections=None, max_keepalive_connections=0),
            {"Accept-Encoding": "identity"},
        )
        meter(self._client, BYTES_MAX)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def post(self, request: TokenRequest) -> Answer | Lost:
        """Send `request` once; return the answer, or why there is none. Nothing else is raised."""
        clock = asyncio.get_running_loop().time
        started = clock()
        sent = False
        try:
            async with asyncio.timeout_at(started + self._send_within_s) as limit:

                async def trace(name: str, context: dict[str, Any]) -> None:
                    nonlocal sent
                    if _leaves(name, context):
                        sent = True
                        limit.reschedule(started + self._deadline_s)

                async with self._places[request.endpoint.url]:
                    status, headers, (body, flaw) = await self._send(request, trace)
        except TimeoutError:
            lost = _late(sent=sent)
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError) as exc:
            lost = _broken(exc, sent=sent)
        else:
            return Answer(status, headers, body, _ms(clock() - started), flaw)
        return Lost(lost.kind, lost.ambiguous, lost.detail, _ms(clock() - started))

    async def _send(
        self, request: TokenRequest, trace: Trace
    ) -> tuple[int, dict[str, str], tuple[bytes, str | None]]:
        async with self._client.stream(
            "POST",
            request.endpoint.url,
            data=request.form,
            headers=request.headers,
            extensions={"trace": trace},
        ) as response:
            headers = {
                name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
            }
            return response.status_code, headers, await body_of(response, BODY_BYTES_MAX)


def _leaves(name: str, context: dict[str, Any]) -> bool:
    """Return whether our own request starts to go out now, not the CONNECT to a proxy before it."""
    return name.endswith("send_request_headers.started") and context["request"].method == b"POST"


def _late(*, sent: bool) -> Lost:
    if sent:
        return Lost("timeout", ambiguous=True, detail="did not answer in time")
    kind, detail = _NOT_IN_TIME
    return Lost(kind, ambiguous=False, detail=detail)


_NOT_IN_TIME: Final[tuple[LostKind, str]] = ("unsent", "could not be reached in time")


def _broken(exc: Exception, *, sent: bool) -> Lost:
    if sent:
        return Lost("broken", ambiguous=True, detail="broke off before its answer was complete")
    kind, detail = _named(exc)
    return Lost(kind, ambiguous=False, detail=detail)


def obstacle(exc: Exception) -> str:
    """Return why somebody could not be reached, in our own words: an exception's may hold a URL."""
    return _named(exc)[1]


def _named(exc: Exception) -> tuple[LostKind, str]:
    known = (_obstacle(cause) for cause in _causes(exc))
    return next(filter(None, known), ("unreachable", "could not be reached"))


_OBSTACLES: Final[Sequence[tuple[type[BaseException], LostKind, str]]] = (
    (ssl.SSLError, "tls", "does not agree on TLS"),
    (socket.gaierror, "unreachable", "has a name without an address"),
    (ConnectionRefusedError, "unreachable", "refused the connection"),
    (httpx.ConnectTimeout, *_NOT_IN_TIME),
    (httpx.ProxyError, "proxy", "could not be reached: the proxy refused"),
)


def _obstacle(cause: BaseException) -> tuple[LostKind, str] | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "tls", f"shows a certificate that is not accepted: {cause.verify_message}"
    return next(
        ((kind, detail) for error, kind, detail in _OBSTACLES if isinstance(cause, error)), None
    )


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
