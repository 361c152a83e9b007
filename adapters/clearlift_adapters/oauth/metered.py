"""A limit on all that a connection may bring, whatever it calls itself.

What comes before the body has no limit in httpx: an endpoint that says `102 Processing` a thousand
times a second, which is a head each time, kept the whole event loop busy until the deadline, and
with it the requests to every other provider. Here a connection breaks off once it has brought more
than any answer has, and brings little at a time, so that the others have their turn in between.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

import httpcore
import httpx

READ_BYTES: Final = 16 * 1024


def meter(client: httpx.AsyncClient, bytes_max: int) -> None:
    """Let no connection of `client`, which has not been used yet, bring more than `bytes_max`."""
    own: Any = client  # httpx has no public way to what its connections are made of.
    for transport in (own._transport, *own._mounts.values()):  # noqa: SLF001  see above
        if isinstance(transport, httpx.AsyncHTTPTransport):
            pool: Any = cast("Any", transport)._pool  # noqa: SLF001  see above
            pool._network_backend = _Metered(pool._network_backend, bytes_max)  # noqa: SLF001  see above


class _Metered(httpcore.AsyncNetworkBackend):
    """Opens connections that count what they bring."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend, bytes_max: int) -> None:
        self._inner, self._bytes_max = inner, bytes_max

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Counting(stream, self._bytes_max)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Counting(httpcore.AsyncNetworkStream):
    """A connection that breaks off when it has brought more than it may."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, bytes_left: int) -> None:
        self._inner, self._bytes_left = inner, bytes_left

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's
        found = await self._inner.read(min(max_bytes, READ_BYTES), timeout)
        self._bytes_left -= len(found)
        if self._bytes_left < 0:
            raise httpcore.ReadError("more came than any answer has")
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  httpcore's
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        try:
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except asyncio.CancelledError:  # httpcore closes it after every other end, not after this.
            await self._inner.aclose()
            raise
        return _Counting(inner, self._bytes_left)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  httpcore's signature
        return self._inner.get_extra_info(info)
