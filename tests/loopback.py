"""A token endpoint on this machine that can misbehave in every way a real one can.

Raw sockets, so that nothing between a test and the wire is polite: an answer may stop half-way,
come a byte at a time, never end, or be a reset. A behaviour is given each visit (a request that
arrived) and does to the connection what it likes; the functions below make the usual ones.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import Final
from urllib.parse import parse_qs

import msgspec

_REASONS: Final = {200: "OK", 302: "Found", 400: "Bad Request", 429: "Too Many Requests"}
_CHUNK: Final = b" " * 65536


class Visit:
    """One request that arrived, and the way back."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in lines[1:] if line)
        self.headers = {name.strip().lower(): value.strip() for name, value in pairs}
        self.form = {name: texts[0] for name, texts in parse_qs(body.decode("latin-1")).items()}
        self.body, self.writer = body, writer
        self.bytes_out = 0

    async def send(self, data: bytes) -> None:
        """Write, and wait until the other side takes it."""
        self.writer.write(data)
        await self.writer.drain()
        self.bytes_out += len(data)


Behaviour = Callable[[Visit], Awaitable[None]]


class Loopback:
    """A running server: where it is, and who came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.visits: list[Visit] = []


@asynccontextmanager
async def loopback(behaviour: Behaviour, tls: SSLContext | None = None) -> AsyncGenerator[Loopback]:
    """Serve `behaviour` on a free port until the block ends, then drop every connection."""
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # Whatever a client does to its end of a connection is no failure of the server.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                visit = await _arrived(reader, writer)
                server.visits.append(visit)
                await behaviour(visit)
        writer.transport.abort()
        tasks.discard(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port: int = listener.sockets[0].getsockname()[1]
    server = Loopback(f"{'https' if tls else 'http'}://127.0.0.1:{port}/token")
    try:
        yield server
    finally:
        listener.close()
        pending = list(tasks)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer with what is given, and keep the connection."""
    data = _head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body

    async def behave(visit: Visit) -> None:
        await visit.send(data)

    return behave


def answer_json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer with a JSON body."""
    kind = {"Content-Type": "application/json"}
    return answer(status, msgspec.json.encode(body), {**kind, **(headers or {})})


async def stall(visit: Visit) -> None:
    """Never answer."""
    del visit
    await asyncio.Event().wait()


def drip(body: bytes, *, every_ms: int) -> Behaviour:
    """Answer a byte at a time, each well within any timeout that counts from the last."""
    data = _head(200, {"Content-Length": str(len(body))}) + body

    async def behave(visit: Visit) -> None:
        for index in range(len(data)):
            await visit.send(data[index : index + 1])
            await asyncio.sleep(every_ms / 1000)

    return behave


def flood(size: int) -> Behaviour:
    """Answer 200 with `size` bytes of body."""

    async def behave(visit: Visit) -> None:
        await visit.send(_head(200, {"Content-Length": str(size)}))
        for _ in range(size // len(_CHUNK)):
            await visit.send(_CHUNK)

    return behave


async def reset(visit: Visit) -> None:
    """Read the request, then reset the connection."""
    connection = visit.writer.get_extra_info("socket")
    linger = struct.pack("ii", 1, 0)  # On, for no time: what is open is cut, not closed.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    visit.writer.transport.abort()
    raise ConnectionResetError


async def break_off(visit: Visit) -> None:
    """Promise more than is sent, and close."""
    await visit.send(_head(200, {"Content-Length": "1000"}) + b'{"access_token":')
    raise ConnectionResetError


def closed_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Visit:
    head = await reader.readuntil(b"\r\n\r\n")
    visit = Visit(head.removesuffix(b"\r\n\r\n"), b"", writer)
    body = await reader.readexactly(int(visit.headers.get("content-length", "0")))
    return Visit(head.removesuffix(b"\r\n\r\n"), body, writer)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Whatever')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
