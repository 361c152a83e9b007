"""The exchange, against a real server that does everything a token endpoint should not."""

import asyncio
import gzip
import logging
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clearlift_adapters.oauth.exchange import BODY_BYTES_MAX, CONCURRENT_MAX, Exchange
from clearlift_adapters.oauth.wire import Answer, Endpoint, Lost, TokenRequest
from clearlift_engine.errors import ConfigurationError
from tests.certificate import self_signed
from tests.loopback import (
    Behaviour,
    Loopback,
    Visit,
    answer,
    answer_json,
    break_off,
    closed_port,
    drip,
    flood,
    loopback,
    reset,
    stall,
)

GRANTED = {"access_token": "at-new", "expires_in": 3599}
FORM = {
    "grant_type": "refresh_token",
    "refresh_token": "rt-old-1//+&=",
    "client_secret": "GOCSPX-1",
}
MEGABYTE = 1024 * 1024


def request_to(url: str) -> TokenRequest:
    return TokenRequest(Endpoint(url, "TEST_TOKEN_URL"), FORM, {"Authorization": "Basic c2VjcmV0"})


async def post(url: str, *, deadline_ms: int = 10_000) -> Answer | Lost:
    async with Exchange(deadline_ms=deadline_ms, send_within_ms=deadline_ms * 4 // 5) as exchange:
        return await exchange.post(request_to(url))


async def answered(behaviour: Behaviour, *, deadline_ms: int = 10_000) -> Answer | Lost:
    async with loopback(behaviour) as server:
        return await post(server.url, deadline_ms=deadline_ms)


async def test_form_arrives_as_a_post_and_its_answer_comes_back() -> None:
    headers = {"Retry-After": "7", "X-App-Usage": "{}", "Set-Cookie": "secret=1"}
    async with loopback(answer_json(400, GRANTED, headers)) as server:
        found = await post(server.url)

    visit = server.visits[0]
    assert (visit.method, visit.target, visit.form) == ("POST", "/token", FORM)
    assert visit.headers["content-type"] == "application/x-www-form-urlencoded"
    assert visit.headers["accept-encoding"] == "identity"
    assert visit.headers["authorization"] == "Basic c2VjcmV0"
    assert isinstance(found, Answer)
    assert (found.status, found.body) == (400, b'{"access_token":"at-new","expires_in":3599}')
    assert found.headers == {
        "content-type": "application/json",
        "retry-after": "7",
        "x-app-usage": "{}",
    }


async def test_endpoint_that_never_answers_is_lost_and_may_have_acted() -> None:
    found = await answered(stall, deadline_ms=500)

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("timeout", True)


async def test_byte_now_and_then_does_not_hold_the_deadline_up() -> None:
    found = await answered(drip(b"{}" * 500, every_ms=5), deadline_ms=500)

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("timeout", True)


async def test_hundred_megabytes_are_not_read() -> None:
    async with loopback(flood(100 * MEGABYTE)) as server:
        found = await post(server.url)

    assert isinstance(found, Answer)
    assert (found.status, found.body) == (200, b"")
    assert found.flaw == "it is larger than 64 KiB"
    assert server.visits[0].bytes_out < 50 * MEGABYTE


async def test_heads_without_end_are_given_up_soon_and_others_have_their_turn_meanwhile() -> None:
    async def say_later(visit: Visit) -> None:
        while True:
            await visit.send(b"HTTP/1.1 102 Later\r\n\r\n" * 1000)

    async with loopback(say_later) as server:
        found = await post(server.url)

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("broken", True)
    assert server.visits[0].bytes_out < 50 * MEGABYTE


async def test_an_answer_that_nobody_asked_for_is_not_the_next_one_s() -> None:
    async def answer_twice(visit: Visit) -> None:
        first = {"access_token": f"for {visit.form['refresh_token']}"}
        await asyncio.gather(answer_json(200, first)(visit), answer_json(200, GRANTED)(visit))

    async with loopback(answer_twice) as server, Exchange() as exchange:
        for token in ("a", "b"):
            request = TokenRequest(Endpoint(server.url, "TEST_TOKEN_URL"), {"refresh_token": token})
            found = await exchange.post(request)
            assert isinstance(found, Answer)
            assert found.body == b'{"access_token":"for %b"}' % token.encode()


@pytest.mark.parametrize("size", [BODY_BYTES_MAX - 1, BODY_BYTES_MAX, BODY_BYTES_MAX + 1])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
async def test_body_is_whole_up_to_its_limit_and_none_above(size: int, encoding: str) -> None:
    plain = b"x" * size
    body = {"identity": plain, "gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}[
        encoding
    ]

    found = await answered(answer(200, body, {"Content-Encoding": encoding}))

    assert isinstance(found, Answer)
    assert found.body == (plain if size <= BODY_BYTES_MAX else b"")
    assert (found.flaw is None) == (size <= BODY_BYTES_MAX)


@pytest.mark.parametrize("size", [10 * MEGABYTE, 500 * MEGABYTE])
async def test_gzip_bomb_does_not_go_off(size: int) -> None:
    packer = zlib.compressobj(9, wbits=31)
    megabyte = bytes(MEGABYTE)
    bomb = b"".join(packer.compress(megabyte) for _ in range(size // MEGABYTE)) + packer.flush()

    found = await answered(answer(200, bomb, {"Content-Encoding": "gzip"}))

    assert isinstance(found, Answer)
    assert (found.body, found.flaw) == (b"", "it is larger than 64 KiB")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"{}" * 100)[:-9]),
        ("br", b"{}"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
    ],
    ids=["no gzip", "cut short", "br", "gzip twice"],
)
async def test_encoding_that_nobody_asked_for_leaves_no_body(encoding: str, body: bytes) -> None:
    found = await answered(answer(200, body, {"Content-Encoding": encoding}))

    assert isinstance(found, Answer)
    assert found.body == b""
    assert found.flaw is not None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_an_answer_and_nobody_follows_it(status: int) -> None:
    async with loopback(answer_json(200, GRANTED)) as elsewhere:
        found = await answered(answer(status, b"", {"Location": elsewhere.url}))

    assert isinstance(found, Answer)
    assert found.status == status
    assert elsewhere.visits == []


@pytest.mark.parametrize("behaviour", [reset, break_off])
async def test_connection_cut_after_the_request_may_have_acted(behaviour: Behaviour) -> None:
    found = await answered(behaviour)

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("broken", True)


async def test_refused_connection_sent_nothing() -> None:
    found = await post(f"http://127.0.0.1:{closed_port()}/token")

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("unreachable", False)
    assert found.detail == "refused the connection"


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 64 + ".invalid"])
async def test_name_without_an_address_sent_nothing(host: str) -> None:
    found = await post(f"https://{host}/token")

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("unreachable", False)


async def test_server_that_never_finishes_tls_sent_nothing() -> None:
    async with loopback(stall) as server:
        found = await post(server.url.replace("http:", "https:"), deadline_ms=200)

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("unsent", False)
    assert server.visits == []


async def test_certificate_that_nobody_signed_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with loopback(answer_json(200, GRANTED), self_signed(tmp_path)) as server:
        found = await post(server.url)

    assert isinstance(found, Lost)
    assert (found.kind, found.ambiguous) == ("tls", False)
    assert "self-signed certificate" in found.detail
    assert server.visits == []


async def test_certificate_in_ssl_cert_file_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    async with loopback(answer_json(200, GRANTED), tls) as server:
        found = await post(server.url)

    assert isinstance(found, Answer)
    assert found.status == 200


async def test_proxy_that_refuses_sent_nothing_and_plain_http_takes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with loopback(answer_json(200, GRANTED)) as server, loopback(answer(407)) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        direct = await post(server.url)
        tunnelled = await post("https://token.example/token")

    assert isinstance(direct, Answer)
    assert isinstance(tunnelled, Lost)
    assert (tunnelled.kind, tunnelled.ambiguous) == ("proxy", False)
    assert [visit.method for visit in proxy.visits] == ["CONNECT"]
    assert proxy.visits[0].form == {}


async def test_at_most_ten_are_under_way_at_once() -> None:
    here, most = 0, 0

    async def count(visit: Visit) -> None:
        nonlocal here, most
        here += 1
        most = max(most, here)
        for _ in range(50):
            await asyncio.sleep(0)
        here -= 1
        await answer_json(200, GRANTED)(visit)

    async with crowd(count) as (server, exchange):
        found = await asyncio.gather(*(exchange.post(request_to(server.url)) for _ in range(40)))

    assert all(isinstance(one, Answer) for one in found)
    assert most <= CONCURRENT_MAX


async def test_request_that_finds_no_place_in_time_is_never_sent() -> None:
    async with crowd(stall, deadline_ms=800, send_within_ms=400) as (server, exchange):
        posts = (exchange.post(request_to(server.url)) for _ in range(CONCURRENT_MAX + 1))
        found = await asyncio.gather(*posts)

    kinds = [one.kind for one in found if isinstance(one, Lost)]
    assert sorted(kinds) == ["timeout"] * CONCURRENT_MAX + ["unsent"]
    assert len(server.visits) == CONCURRENT_MAX


async def test_nothing_secret_is_logged_or_printed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    found = [await answered(answer_json(200, GRANTED)), await answered(reset)]
    found.append(await post(f"http://127.0.0.1:{closed_port()}/token?key=in-the-query"))

    shown = f"{caplog.text}{found!r}{request_to('https://example.test/token?key=in-the-query')!r}"
    secrets = [*FORM.values(), "c2VjcmV0", "at-new", "in-the-query"]
    assert not [secret for secret in secrets if secret != "refresh_token" and secret in shown]


@pytest.mark.parametrize(
    "url",
    [
        "https://oauth2.googleapis.com/token",
        "https://example.test:8443/oauth/token?tenant=a",
        "http://127.0.0.1:8080/token",
        "http://127.8.9.1/token",
        "http://localhost:8080/token",
        "http://[::1]:8080/token",
    ],
)
def test_https_and_loopback_are_endpoints(url: str) -> None:
    endpoint = Endpoint(url, "GOOGLE_TOKEN_URL")

    assert endpoint.url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://oauth2.googleapis.com/token",
        "http://10.0.0.1/token",
        "http://0.0.0.0/token",
        "http://localhost.example/token",
        "http://127.0.0.1.example/token",
        "http://127.0.0.1@example.test/token",
        "https://user:password@example.test/token",
        "http://127.0.0.1\\@example.test/token",
        "https://example.test/to ken",
        "https://example.test:port/token",
        "https://[::1/token",
        "https:///token",
        "ftp://127.0.0.1/token",
        "file:///etc/passwd",
        "//example.test/token",
        "example.test/token",
        "https://exämple.test/token",
        "",
    ],
)
def test_other_urls_are_refused_by_the_name_of_their_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^GOOGLE_TOKEN_URL ") as caught:
        Endpoint(url, "GOOGLE_TOKEN_URL")

    assert not url or url not in str(caught.value)


@asynccontextmanager
async def crowd(behaviour: Behaviour, **limits: int) -> AsyncGenerator[tuple[Loopback, Exchange]]:
    async with loopback(behaviour) as server, Exchange(**limits) as exchange:
        yield server, exchange
