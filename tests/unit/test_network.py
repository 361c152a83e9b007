"""The network under a token request: what a connection is used for, and what ends it."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from clearlift_adapters.oauth.exchange import Exchange
from clearlift_adapters.oauth.wire import Answer, Endpoint, Lost, TokenRequest
from tests.certificate import self_signed
from tests.loopback import Visit, answer, answer_json, flood, loopback

MEGABYTE = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


def request_to(url: str, token: str = "rt") -> TokenRequest:
    return TokenRequest(Endpoint(url, "TEST_TOKEN_URL"), {"refresh_token": token})


async def post(url: str, *, deadline_ms: int = 10_000) -> Answer | Lost:
    async with Exchange(deadline_ms=deadline_ms, send_within_ms=deadline_ms // 2) as exchange:
        return await exchange.post(request_to(url))


def bodies(found: Sequence[Answer | Lost]) -> list[bytes]:
    return [one.body for one in found if isinstance(one, Answer)]


async def echo(visit: Visit) -> None:
    await answer(200, visit.form["refresh_token"].encode())(visit)


@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive", "Keep-Alive": "timeout=60"}])
async def test_each_request_has_a_connection_of_its_own_and_says_so(
    headers: dict[str, str],
) -> None:
    async with loopback(answer(200, b"{}", headers)) as server, Exchange() as exchange:
        found = [await exchange.post(request_to(server.url)) for _ in range(3)]

    assert bodies(found) == [b"{}"] * 3
    assert len({visit.writer.get_extra_info("peername") for visit in server.visits}) == 3
    assert [visit.headers["connection"] for visit in server.visits] == ["close"] * 3


@pytest.mark.parametrize("late_ms", [0, 1, 5, 20])
async def test_second_answer_that_comes_later_is_nobodys(late_ms: int) -> None:
    again = set[asyncio.Task[None]]()

    async def repeat(visit: Visit) -> None:
        await asyncio.sleep(late_ms / 1000)
        with suppress(ConnectionError):
            await echo(visit)

    async def answer_twice(visit: Visit) -> None:
        await echo(visit)
        again.add(asyncio.create_task(repeat(visit)))

    tokens = [f"rt-{number}" for number in range(100)]
    async with loopback(answer_twice) as server, Exchange() as exchange:
        found = await asyncio.gather(*(exchange.post(request_to(server.url, t)) for t in tokens))
        await asyncio.gather(*again)

    assert bodies(found) == [token.encode() for token in tokens]


@pytest.mark.parametrize("extra", [b"x", OK % (2, b"{}"), b"HTTP/1.1 500 No\r\n\r\n"])
async def test_what_comes_after_an_answer_is_no_part_of_it(extra: bytes) -> None:
    async def answer_and_more(visit: Visit) -> None:
        await visit.send(OK % (4, b"mine") + extra)

    async with loopback(answer_and_more) as server, Exchange() as exchange:
        found = [await exchange.post(request_to(server.url)) for _ in range(2)]

    assert bodies(found) == [b"mine"] * 2


async def test_cookie_of_one_answer_does_not_come_with_the_next_request() -> None:
    cookie = {"Set-Cookie": "session=of-the-first"}
    async with loopback(answer(200, b"{}", cookie)) as server, Exchange() as exchange:
        for _ in range(2):
            await exchange.post(request_to(server.url))

    assert len(server.visits) == 2
    assert not [visit.headers for visit in server.visits if "cookie" in visit.headers]


async def test_head_and_form_leave_in_one_piece() -> None:
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.read(MEGABYTE))
        writer.write(OK % (2, b"{}"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token")

    assert arrived[0].startswith(b"POST /token HTTP/1.1\r\n")
    assert arrived[0].endswith(b"\r\n\r\nrefresh_token=rt")


async def test_of_the_addresses_of_a_name_one_that_answers_is_found() -> None:
    async with loopback(echo) as server:  # At 127.0.0.1; on many machines ::1 comes first.
        found = await post(server.url.replace("127.0.0.1", "localhost"))

    assert bodies([found]) == [b"rt"]
    assert server.visits[0].headers["host"].startswith("localhost:")


async def test_flood_under_tls_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    async with loopback(flood(100 * MEGABYTE), tls) as server:
        found = await post(server.url)

    assert isinstance(found, Answer)
    assert found.flaw == "it is larger than 64 KiB"
    assert server.visits[0].bytes_out < 50 * MEGABYTE


async def test_handshake_that_was_given_up_leaves_no_connection() -> None:
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        left.set()
        writer.close()

    async with (
        await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server,
        Exchange(send_within_ms=200) as exchange,
    ):
        port = server.sockets[0].getsockname()[1]
        found = await exchange.post(request_to(f"https://127.0.0.1:{port}/token"))
        async with asyncio.timeout(5):
            await left.wait()

    gc.collect()  # What was not closed warns now, and warnings are errors.
    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("unsent", False)


async def test_tunnel_of_a_proxy_carries_the_request_and_adds_nothing_to_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    async with loopback(answer_json(200, {"ours": 1}), tls) as server:
        async with proxy(b"") as url:
            monkeypatch.setenv("HTTPS_PROXY", url)
            tunnelled = await post(server.url)
        async with proxy(OK % (2, b"{}")) as url:
            monkeypatch.setenv("HTTPS_PROXY", url)
            injected = await post(server.url)

    assert bodies([tunnelled, injected])[0] == b'{"ours":1}'
    assert b"{}" not in bodies([tunnelled, injected])
    assert [visit.method for visit in server.visits][:1] == ["POST"]


@asynccontextmanager
async def proxy(injected: bytes) -> AsyncGenerator[str]:
    """Serve tunnels that say `injected` before anything else comes through."""
    tunnels: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.append(asyncio.current_task())
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        host, _, port = target.partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n" + injected)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*filter(None, tunnels))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(MEGABYTE):
            writer.write(data)
    writer.close()
