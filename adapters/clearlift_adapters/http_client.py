"""The client of whatever speaks HTTP here, with three of httpx's manners corrected (on 0.28).

* It decodes what it reads: a gzip answer of 1 MB took 2 GB. Here a body is read raw, up to a limit,
  and unpacked up to the same limit.
* It logs URLs at INFO, and httpcore logs headers at DEBUG: both are held at WARNING.
* It believes the proxy variables. That stays, for a company's network may know no other way out,
  and TLS passes a proxy unread. Plain http, which is for loopback only, never takes a proxy.

Redirects are not followed and certificates are always verified (against SSL_CERT_FILE or
SSL_CERT_DIR where set); neither is an option.
"""

import logging
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, Final, cast

import httpcore
import httpx

from clearlift_engine.errors import ConfigurationError

USER_AGENT: Final = "clearlift-cron-worker"

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS

logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


def open_client(
    timeout: httpx.Timeout, limits: httpx.Limits, headers: Mapping[str, str]
) -> httpx.AsyncClient:
    """Return a client; it reads what the environment says of certificates and proxies.

    Raises:
        ConfigurationError: the environment says something that cannot be used.
    """
    with _environment():
        return httpx.AsyncClient(
            verify=httpx.create_ssl_context(),
            mounts={"http://": None},
            headers={"Accept": "application/json", "User-Agent": USER_AGENT, **headers},
            follow_redirects=False,
            timeout=timeout,
            limits=limits,
        )


def open_blocking_client(timeout: httpx.Timeout) -> httpx.Client:
    """Return such a client for a thread that may wait.

    Raises:
        ConfigurationError: the environment says something that cannot be used.
    """
    with _environment():
        return httpx.Client(
            verify=httpx.create_ssl_context(),
            mounts={"http://": None},
            headers={"User-Agent": USER_AGENT},
            follow_redirects=False,
            timeout=timeout,
        )


def way_to(
    url: httpx.URL, client: httpx.AsyncClient, network: httpcore.AsyncNetworkBackend
) -> httpcore.AsyncConnectionPool:
    """Return what takes requests of `client` to `url`, past a proxy or not, over `network`."""
    own: Any = client  # httpx has no public way to what is under it.
    pool: Any = own._transport_for_url(url)._pool  # noqa: SLF001  see above
    pool._network_backend = network  # noqa: SLF001  see above
    return cast("httpcore.AsyncConnectionPool", pool)


@contextmanager
def _environment() -> Generator[None]:
    # What is raised is not quoted: the URL of a proxy may hold a password.
    try:
        yield
    except OSError:  # ssl.SSLError is one.
        raise ConfigurationError(
            "SSL_CERT_FILE or SSL_CERT_DIR names certificates that cannot be read"
        ) from None
    except (ImportError, ValueError, httpx.InvalidURL):
        raise ConfigurationError(
            "HTTPS_PROXY, ALL_PROXY or NO_PROXY names a proxy that cannot be used "
            "(one of SOCKS needs the package httpx[socks])"
        ) from None


async def body_of(
    raw: AsyncIterator[bytes], encoding: str, bytes_max: int
) -> tuple[bytes, str | None]:
    """Return the body that comes raw, in `encoding`, or none and what is wrong with it."""
    kept = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes]", raw)) as chunks:
        async for chunk in chunks:
            kept += chunk
            if len(kept) > bytes_max:
                return b"", _too_large(bytes_max)
    match encoding.strip().lower():
        case "" | "identity":
            return bytes(kept), None
        case "gzip" | "x-gzip" | "deflate":
            return _unpacked(bytes(kept), bytes_max)
        case _:
            return b"", "it is in an encoding that was not asked for"


def _unpacked(packed: bytes, bytes_max: int) -> tuple[bytes, str | None]:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        body = unpacker.decompress(packed, bytes_max + 1)
    except zlib.error:
        return b"", "it cannot be unpacked"
    if len(body) > bytes_max:
        return b"", _too_large(bytes_max)
    return (body, None) if unpacker.eof else (b"", "it ends too early")


def _too_large(bytes_max: int) -> str:
    return f"it is larger than {bytes_max // 1024} KiB"
