"""One form to one token endpoint, within limits that hold whatever the other side does.

httpx finds the way (certificates, proxies); what goes over it is given to httpcore, which is under
httpx, because nothing that httpx adds is wanted here: it takes longer than the whole request, and
brings the cookies of one customer's answer along with the next one's request. Then:

* Its timeout is per read: an endpoint that sends a byte now and then holds it for ever. The
  deadline here is ours, over everything from the wait for a free place to the last byte.
* It does not say whether the request had left when an error came. The form does, by being asked
  for: without it no provider can have acted.
* It keeps connections, and takes what was left over in one for the answer to the next request: an
  endpoint, or a proxy, that answers once too often hands one customer's tokens to another. Here
  each request has a connection of its own, and says so; README decision 17 has what that costs.

No encoding is asked for; gzip is understood all the same, because the answer may hold the only copy
of a rotated token.
"""

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import urlencode

import httpcore
import httpx

from clearlift_adapters.http_client import USER_AGENT, body_of, open_client, way_to
from clearlift_adapters.oauth.network import Network
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

_READ_HEADERS: Final = frozenset(
    {
        "content-encoding",
        "content-type",
        "retry-after",
        "x-app-usage",
        "x-business-use-case-usage",
    }
)
# Nothing else comes out of httpcore and asyncio when an endpoint cannot be reached, or breaks off.
_BREAKS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpx.InvalidURL,
    OSError,
    UnicodeError,
)


_HEADERS: Final = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("User-Agent", USER_AGENT),
)


class _Way(NamedTuple):
    """How an endpoint is asked, whatever it is asked."""

    pool: httpcore.AsyncConnectionPool
    url: httpcore.URL
    headers: Sequence[tuple[str, str]]


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
        self._client = open_client(httpx.Timeout(None), httpx.Limits(), {})
        self._network = Network(BYTES_MAX)
        self._ways: dict[str, _Way] = {}

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

                def leaves() -> None:
                    nonlocal sent
                    sent = True
                    limit.reschedule(started + self._deadline_s)

                async with self._places[request.endpoint.url]:
                    status, headers, (body, flaw) = await self._send(request, leaves)
        except TimeoutError:
            lost = _late(sent=sent)
        except _BREAKS as exc:
            lost = _broken(exc, sent=sent)
        else:
            return Answer(status, headers, body, _ms(clock() - started), flaw)
        return Lost(lost.kind, lost.ambiguous, lost.detail, _ms(clock() - started))

    async def _send(
        self, request: TokenRequest, leaves: Callable[[], None]
    ) -> tuple[int, dict[str, str], tuple[bytes, str | None]]:
        way, form = self._way(request.endpoint.url), urlencode(request.form).encode()
        own = (*request.headers.items(), ("Content-Length", str(len(form))))
        asked = httpcore.Request(
            "POST", way.url, headers=[*way.headers, *own], content=_leaving(form, leaves)
        )
        connection = way.pool.create_connection(way.url.origin)
        try:
            response = await connection.handle_async_request(asked)
            headers = _read(response.headers)
            encoding = headers.pop("content-encoding", "")
            body = await body_of(response.aiter_stream(), encoding, BODY_BYTES_MAX)
        finally:
            await connection.aclose()
        return response.status, headers, body

    def _way(self, endpoint: str) -> _Way:
        if endpoint not in self._ways:
            url = httpx.URL(endpoint)
            raw = httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            )
            host = url.netloc.decode("ascii")
            pool = way_to(url, self._client, self._network)
            self._ways[endpoint] = _Way(pool, raw, [("Host", host), *_HEADERS])
        return self._ways[endpoint]


async def _leaving(form: bytes, leaves: Callable[[], None]) -> AsyncGenerator[bytes]:
    """Yield `form`, and say so before: httpcore asks for it last, and never to reach a proxy."""
    leaves()
    yield form


def _read(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return those that matter; what is said more than once is one list (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("ascii").lower()
        if name in _READ_HEADERS:
            value = raw_value.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


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
    (httpcore.ProxyError, "proxy", "could not be reached: the proxy refused"),
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
