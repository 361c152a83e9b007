"""A small HTTP/1.1 server on loopback that takes forms: the ears of the demo's token endpoints."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import msgspec

_HEAD_END: Final = b"\r\n\r\n"
_BODY_BYTES_MAX: Final = 64 * 1024
_GONE: Final = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class Reply(msgspec.Struct, frozen=True):
    """What to answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


Form = Mapping[str, str]
Answer = Callable[[str, Form], Reply | None]  # By path and form; None: hang up without a word.

_BAD_REQUEST: Final = Reply(400, b'{"error":"invalid_request"}')


@asynccontextmanager
async def listening(answer: Answer) -> AsyncGenerator[str]:
    """Serve on a free port of 127.0.0.1 until the block ends; yield the URL to put paths behind."""
    visitors = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visitors.add(task)
        # A client may go whenever it likes, and at the end all of them are sent away.
        with suppress(*_GONE, asyncio.CancelledError):
            while await _serve_one(reader, writer, answer):
                pass
        writer.close()
        visitors.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        staying = list(visitors)
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)


async def _serve_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
) -> bool:
    """Answer one request; return whether the connection stays open."""
    head = (await reader.readuntil(_HEAD_END)).decode("latin-1").split("\r\n")
    method, _, target = head[0].partition(" ")
    headers = {name.lower(): text.strip() for name, _, text in (h.partition(":") for h in head[1:])}
    length = headers.get("content-length", "0")
    wrong = method != "POST" or not target.startswith("/") or not length.isdecimal()
    if wrong or int(length) > _BODY_BYTES_MAX:
        await _send(writer, _BAD_REQUEST)
        return False
    body = await reader.readexactly(int(length))
    form = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    reply = answer(target.partition(" ")[0], form)
    if reply is None:
        return False
    await _send(writer, reply)
    return headers.get("connection", "").lower() != "close"


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
        *(f"{name}: {text}" for name, text in reply.headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body)
    await writer.drain()
