"""The network under a token request, on asyncio alone: one connection brings one answer.

It stands in for httpcore's own, which goes through anyio: that took more of the processor than the
request itself. What is the same for every token request is simpler here, and three things differ:

* There is no timeout: whoever asks sets a deadline over everything, and cancels. A connection that
  was being made is closed then.
* What is written leaves when an answer is awaited, head and form in one piece.
* What comes before the body has no limit in httpcore: an endpoint that says `102 Processing` a
  thousand times a second, which is a head each time, kept the whole event loop busy, and with it
  the requests to every other provider. Here a connection breaks off once it has brought more than
  any answer has, and hands on little at a time, so that the others have their turn in between.
"""

import asyncio
import ssl
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Final, cast

import httpcore

READ_BYTES: Final = 16 * 1024
_EYEBALLS_S: Final = 0.25  # RFC 8305 §5: a name's next address is tried after so long.


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections that bring at most `bytes_max` each."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del timeout, local_address, socket_options  # Nobody here sets any.
        transport, arrivals = await asyncio.get_running_loop().create_connection(
            lambda: _Arrivals(self._bytes_max),
            host,
            port,
            happy_eyeballs_delay=None if _is_address(host) else _EYEBALLS_S,
        )
        return _Stream(transport, arrivals)


def _is_address(host: str) -> bool:
    """Return whether there is no second address to try: to prepare for one is a third task."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class _Arrivals(asyncio.Protocol):
    """What a connection has brought and nobody has read; it brings no more while there is much."""

    def __init__(self, bytes_left: int) -> None:
        self.bytes_left = bytes_left
        self.transport: asyncio.Transport | None = None
        self._arrived = bytearray()
        self._failure: Exception | None = None
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        if len(self._arrived) > READ_BYTES and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._failure = exc
        self.eof_received()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self, bytes_max: int) -> bytes:
        """Return what has come; nothing if nothing will.

        Raises:
            OSError: the connection was cut.
            httpcore.ReadError: more has come than may.
        """
        if self._arrived or self._ended:
            await asyncio.sleep(0)
        else:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._failure is not None and not self._arrived:
            raise self._failure
        found = bytes(self._arrived[:bytes_max])
        del self._arrived[:bytes_max]
        self.bytes_left -= len(found)
        if self.bytes_left < 0:
            raise httpcore.ReadError("more came than any answer has")
        if not self._arrived and self.transport is not None:
            self.transport.resume_reading()
        return found


class _Stream(httpcore.AsyncNetworkStream):
    """A connection."""

    def __init__(self, transport: asyncio.Transport, arrivals: _Arrivals) -> None:
        self._transport, self._arrivals = transport, arrivals
        self._leaving: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's
        del timeout
        if self._leaving:
            self._transport.write(b"".join(self._leaving))
            self._leaving.clear()
        return await self._arrivals.next(min(max_bytes, READ_BYTES))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  httpcore's
        del timeout
        self._leaving.append(buffer)

    async def aclose(self) -> None:
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        del timeout
        # What has come in the clear stays behind: it is no part of what is said under TLS.
        arrivals = _Arrivals(self._arrivals.bytes_left)
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, arrivals, ssl_context, server_hostname=server_hostname
            )
        except BaseException:
            self._transport.abort()
            raise
        if transport is None:  # It was cut just after the handshake.
            raise ConnectionResetError
        arrivals.connection_made(transport)  # asyncio leaves that to who upgrades.
        return _Stream(transport, arrivals)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  httpcore's signature
        return self._transport.get_extra_info(info)
