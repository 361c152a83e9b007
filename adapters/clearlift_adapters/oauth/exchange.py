"""One form to one token endpoint, within limits that hold whatever the other side does.

The only module that imports httpx, whose own manners need five corrections (measured on 0.28):

* Its timeout is per read: an endpoint that sends a byte now and then holds it for ever. The
  deadline here is ours, over everything from the wait for a free place to the last byte.
* It decodes what it reads: a gzip answer of 1 MB took 2 GB. Here the body is read raw, up to
  BODY_BYTES_MAX, and unpacked up to BODY_BYTES_MAX. No encoding is asked for; gzip is understood
  all the same, because the answer may hold the only copy of a rotated token.
* It logs URLs at INFO, and httpcore logs headers at DEBUG: both are held at WARNING.
* It believes the proxy variables. That stays, for a company's network may know no other way out,
  and TLS passes a proxy unread. Plain http, which is for loopback only, never takes a proxy.
* It does not say whether the request had left when an error came. httpcore's trace does.

Redirects are not followed and certificates are always verified (against SSL_CERT_FILE or
SSL_CERT_DIR where set); neither is an option.
"""

import asyncio
import logging
import socket
import ssl
import zlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self, cast

import httpx

from clearlift_adapters.oauth.wire import (
    DEADLINE_MS,
    SEND_WITHIN_MS,
    Answer,
    Lost,
    LostKind,
    TokenRequest,
)
from clearlift_engine.errors import ConfigurationError

# Per endpoint, so that one which never answers takes no place from the others. httpx makes 1,400
# requests/s with 10 under way and 311 with 50, which is still more than several providers allow.
CONCURRENT_MAX: Final = 10
BODY_BYTES_MAX: Final = 64 * 1024  # Of a token answer; the longest known have 5 KB.

_KEPT_HEADERS: Final = (
    "content-type",
    "retry-after",
    "x-app-usage",
    "x-business-use-case-usage",
)
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "clearlift-cron-worker",
}
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS

logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

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
        self._client = _client(
            httpx.Timeout(2 * self._deadline_s, connect=0.9 * self._send_within_s)
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
            return response.status_code, headers, await _body(response)


def _client(timeout: httpx.Timeout) -> httpx.AsyncClient:
    # What is raised is not quoted: the URL of a proxy may hold a password.
    try:
        return httpx.AsyncClient(
            verify=httpx.create_ssl_context(),
            mounts={"http://": None},
            headers=_HEADERS,
            follow_redirects=False,
            timeout=timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=CONCURRENT_MAX),
        )
    except OSError:  # ssl.SSLError is one.
        raise ConfigurationError(
            "SSL_CERT_FILE or SSL_CERT_DIR names certificates that cannot be read"
        ) from None
    except (ImportError, ValueError, httpx.InvalidURL):
        raise ConfigurationError(
            "HTTPS_PROXY, ALL_PROXY or NO_PROXY names a proxy that cannot be used "
            "(one of SOCKS needs the package httpx[socks])"
        ) from None


def _leaves(name: str, context: dict[str, Any]) -> bool:
    """Return whether our own request starts to go out now, not the CONNECT to a proxy before it."""
    return name.endswith("send_request_headers.started") and context["request"].method == b"POST"


async def _body(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return the body, or none and what is wrong with it."""
    kept = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
        async for chunk in chunks:
            kept += chunk
            if len(kept) > BODY_BYTES_MAX:
                return b"", _TOO_LARGE
    match response.headers.get("content-encoding", "").strip().lower():
        case "" | "identity":
            return bytes(kept), None
        case "gzip" | "x-gzip" | "deflate":
            return _unpacked(bytes(kept))
        case _:
            return b"", "it is in an encoding that was not asked for"


def _unpacked(packed: bytes) -> tuple[bytes, str | None]:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        body = unpacker.decompress(packed, BODY_BYTES_MAX + 1)
    except zlib.error:
        return b"", "it cannot be unpacked"
    if len(body) > BODY_BYTES_MAX:
        return b"", _TOO_LARGE
    return (body, None) if unpacker.eof else (b"", "it ends too early")


_TOO_LARGE: Final = f"it is larger than {BODY_BYTES_MAX // 1024} KiB"


def _late(*, sent: bool) -> Lost:
    if sent:
        return Lost("timeout", ambiguous=True, detail="did not answer in time")
    kind, detail = _NOT_IN_TIME
    return Lost(kind, ambiguous=False, detail=detail)


_NOT_IN_TIME: Final[tuple[LostKind, str]] = ("unsent", "could not be reached in time")


def _broken(exc: Exception, *, sent: bool) -> Lost:
    if sent:
        return Lost("broken", ambiguous=True, detail="broke off before its answer was complete")
    known = (_obstacle(cause) for cause in _causes(exc))
    kind, detail = next(filter(None, known), ("unreachable", "could not be reached"))
    return Lost(kind, ambiguous=False, detail=detail)


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
