"""Everything that a token endpoint has no business doing, and what is to become of each.

`verdict` is the class of the failure, or "refreshed" where the answer holds usable tokens all the
same: it may be the only copy. `asked` is how often a tick asks: twice where the provider may have
acted on the request.
"""

import asyncio
import gzip
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from tests.loopback import (
    Behaviour,
    Visit,
    answer,
    answer_json,
    break_off,
    drip,
    flood,
    reset,
    stall,
)

GRANT: Final = {"access_token": "at-new", "refresh_token": "rt-new", "expires_in": 3600}
BODY: Final = msgspec.json.encode(GRANT)
MEGABYTE: Final = 1024 * 1024
HTML: Final = {"Content-Type": "text/html"}
JSON: Final = {"Content-Type": "application/json"}
HEALTHY: Final = answer_json(200, GRANT)
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Misbehaviour(NamedTuple):
    """What an endpoint does, and what that is taken for."""

    behaviour: Behaviour
    verdict: str
    code: str | None = None
    asked: int = 1


def raw(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Write these bytes and nothing else, then go on as told; by default close."""

    async def behave(visit: Visit) -> None:
        for part in parts:
            await visit.send(part)
        if then is None:
            raise ConnectionResetError
        await then(visit)

    return behave


def endless(part: bytes, *, first: bytes = OK) -> Behaviour:
    """Write `part` again and again, for as long as anybody listens."""

    async def behave(visit: Visit) -> None:
        await visit.send(first)
        with suppress(ConnectionError):
            while True:
                await visit.send(part)
                await asyncio.sleep(0)

    return behave


def slow_body(visit_every_s: float) -> Behaviour:
    """Send the head at once, and the body a byte at a time."""

    async def behave(visit: Visit) -> None:
        await visit.send(OK + b"Content-Length: %d\r\n\r\n" % len(BODY))
        for byte in BODY:
            await visit.send(bytes((byte,)))
            await asyncio.sleep(visit_every_s)

    return behave


async def loop(visit: Visit) -> None:
    """Redirect to where the request was sent."""
    await answer(302, b"", {"Location": visit.target})(visit)


async def echo(visit: Visit) -> None:
    """Refuse, and quote everything that was sent."""
    said = " ".join([*visit.form.values(), *visit.headers.values()])
    await answer_json(400, {"error": "invalid_grant", "error_description": said})(visit)


def to(status: int, location: str) -> Behaviour:
    return answer(status, b"", {"Location": location})


def granting(**changes: object) -> Behaviour:
    """Answer with tokens, of which something is other than it should be."""
    return answer_json(200, {**GRANT, **changes})


def throttling(retry_after: str) -> Behaviour:
    return answer_json(429, {}, {"Retry-After": retry_after})


def bomb(encoding: str) -> Behaviour:
    """Answer with 50 MB of zeros in 50 KB."""
    packer = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[encoding])
    packed = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(50)) + packer.flush()
    return answer(200, packed, {**JSON, "Content-Encoding": encoding})


def zstd_bomb() -> bytes:
    """Return a frame of zstd that says ten thousand times: 128 KB of the same byte."""
    head = b"\x28\xb5\x2f\xfd\x00\x58"
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b"x"
    return head + block * 10_000


UNREADABLE: Final = ("transient", "http_200", 2)
BROKEN: Final = ("transient", "broken", 2)
LATE: Final = ("transient", "timeout", 2)

# fmt: off
SLOW_AND_ENDLESS: Final[Mapping[str, Misbehaviour]] = {
    "silent":             Misbehaviour(stall, *LATE),
    "dripping":           Misbehaviour(drip(BODY, every_ms=1000), *LATE),
    "dripping-body":      Misbehaviour(slow_body(0.5), *LATE),
    "stalling-headers":   Misbehaviour(raw(OK, then=stall), *LATE),
    "flooding":           Misbehaviour(flood(100 * MEGABYTE), *UNREADABLE),
    "endless-chunks":     Misbehaviour(endless(b"1000\r\n%b\r\n" % bytes(4096), first=CHUNKED),
                                       *UNREADABLE),
    "endless-headers":    Misbehaviour(endless(b"X-More: " + b"y" * 1000 + b"\r\n"), *BROKEN),
    "endless-header":     Misbehaviour(endless(b"y" * 65536, first=OK + b"X-More: "), *BROKEN),
    "endless-1xx":        Misbehaviour(endless(b"HTTP/1.1 102 Later\r\n\r\n", first=b""), *BROKEN),
    "many-cookies":       Misbehaviour(raw(OK, b"Set-Cookie: a=b\r\n" * 50_000), *BROKEN),
}
PACKED: Final[Mapping[str, Misbehaviour]] = {
    "gzip-bomb":          Misbehaviour(bomb("gzip"), *UNREADABLE),
    "deflate-bomb":       Misbehaviour(bomb("deflate"), *UNREADABLE),
    "zstd-bomb":          Misbehaviour(answer(200, zstd_bomb(), {"Content-Encoding": "zstd"}),
                                       *UNREADABLE),
    "brotli":             Misbehaviour(answer(200, b"\x0b\x02\x80{}\x03",
                                              {"Content-Encoding": "br"}), *UNREADABLE),
    "half-of-gzip":       Misbehaviour(answer(200, gzip.compress(BODY)[:-9],
                                              {"Content-Encoding": "gzip"}), *UNREADABLE),
    "gzip-unasked":       Misbehaviour(answer(200, gzip.compress(BODY),
                                              {"Content-Encoding": "gzip"}), "refreshed"),
}
REDIRECTS: Final[Mapping[str, Misbehaviour]] = {
    "to-another-host":    Misbehaviour(to(307, "http://127.0.0.2:9/"), "transient", "http_307"),
    "to-a-file":          Misbehaviour(to(302, "file:///etc/passwd"), "transient", "http_302"),
    "to-itself":          Misbehaviour(loop, "transient", "http_302"),
    "to-nowhere":         Misbehaviour(answer(303), "transient", "http_303"),
    "for-good":           Misbehaviour(to(308, "https://elsewhere.example/"), "configuration",
                                       "http_308"),
}
LIES: Final[Mapping[str, Misbehaviour]] = {
    "html":               Misbehaviour(answer(200, b"<html>Sign in</html>", HTML), *UNREADABLE),
    "empty":              Misbehaviour(answer(200, b"", JSON), *UNREADABLE),
    "garbled":            Misbehaviour(answer(200, b'{"access_token": "at'), *UNREADABLE),
    "list":               Misbehaviour(answer_json(200, [GRANT]), *UNREADABLE),
    "number":             Misbehaviour(answer_json(200, 1), *UNREADABLE),
    "null":               Misbehaviour(answer_json(200, None), *UNREADABLE),
    "not-a-number":       Misbehaviour(answer(200, BODY.replace(b"3600", b"NaN"), JSON),
                                       *UNREADABLE),
    "deep":               Misbehaviour(answer(200, b"[" * 60_000, JSON), *UNREADABLE),
    "utf-16":             Misbehaviour(answer(200, BODY.decode().encode("utf-16"), JSON),
                                       *UNREADABLE),
    "latin-1":            Misbehaviour(answer(200, b'{"access_token": "\xe9"}', JSON), *UNREADABLE),
    "bom":                Misbehaviour(answer(200, b"\xef\xbb\xbf" + BODY, JSON), "refreshed"),
    "twice-the-same-key": Misbehaviour(answer(200, b'{"access_token": "at-old",' + BODY[1:], JSON),
                                       "refreshed"),
    "called-a-page":      Misbehaviour(answer(200, BODY, HTML), "refreshed"),
    "no-access-token":    Misbehaviour(answer_json(200, {"refresh_token": "rt-new"}), *UNREADABLE),
    "token-of-lines":     Misbehaviour(granting(access_token="at\nnew"), *UNREADABLE),
    "token-with-nul":     Misbehaviour(granting(access_token="at\0new"), *UNREADABLE),
    "token-in-greek":     Misbehaviour(granting(access_token="κλειδί"), *UNREADABLE),
    "token-of-2-MB":      Misbehaviour(granting(access_token="x" * 2 * MEGABYTE), *UNREADABLE),
    "token-of-blanks":    Misbehaviour(granting(access_token="  "), *UNREADABLE),
    "token-a-list":       Misbehaviour(granting(access_token=["at-new"]), *UNREADABLE),
    "lasts-minus-one":    Misbehaviour(granting(expires_in=-1), "refreshed"),
    "lasts-0":            Misbehaviour(granting(expires_in=0), "refreshed"),
    "lasts-words":        Misbehaviour(granting(expires_in="an hour"), "refreshed"),
    "lasts-a-string":     Misbehaviour(granting(expires_in="3600"), "refreshed"),
    "lasts-a-fraction":   Misbehaviour(granting(expires_in=3599.5), "refreshed"),
    "lasts-true":         Misbehaviour(granting(expires_in=True), "refreshed"),
    "lasts-for-ever":     Misbehaviour(granting(expires_in=10**18), "refreshed"),
    "lasts-1e400":        Misbehaviour(answer(200, BODY.replace(b"3600", b"1e400"), JSON),
                                       *UNREADABLE),
    "lasts-200-digits":   Misbehaviour(answer(200, BODY.replace(b"3600", b"9" * 200), JSON),
                                       "refreshed"),
    "error-inside-200":   Misbehaviour(answer_json(200, {"error": "invalid_grant"}), "permanent",
                                       "invalid_grant"),
    "error-and-token":    Misbehaviour(granting(error="invalid_grant"), "refreshed"),
    "echoing":            Misbehaviour(echo, "permanent", "invalid_grant"),
}
STATUSES: Final[Mapping[str, Misbehaviour]] = {
    "status-204":         Misbehaviour(raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "transient",
                                       "http_204", 2),
    "status-206":         Misbehaviour(answer(206, BODY[:20], JSON), "transient", "http_206", 2),
    "status-304":         Misbehaviour(raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "transient",
                                       "http_304"),
    "status-418":         Misbehaviour(answer(418, b"short and stout"), "transient", "http_418"),
    "status-599":         Misbehaviour(answer(599), "transient", "http_599", 2),
    "status-999":         Misbehaviour(answer(999), "transient", "http_999", 2),
    "again-at-words":     Misbehaviour(throttling("in a while"), "throttled", "http_429"),
    "again-at-minus-1":   Misbehaviour(throttling("-1"), "throttled", "http_429"),
    "again-in-ages":      Misbehaviour(throttling("9" * 400), "throttled", "http_429"),
    "again-in-the-past":  Misbehaviour(throttling("Wed, 21 Oct 2015 07:28:00 GMT"), "throttled",
                                       "http_429"),
}
WIRE: Final[Mapping[str, Misbehaviour]] = {
    "cut-in-status":      Misbehaviour(raw(b"HTTP/1.1 20"), *BROKEN),
    "cut-in-headers":     Misbehaviour(raw(OK), *BROKEN),
    "cut-in-body":        Misbehaviour(break_off, *BROKEN),
    "cut-in-chunk":       Misbehaviour(raw(CHUNKED + b"ff\r\n" + BODY), *BROKEN),
    "reset":              Misbehaviour(reset, *BROKEN),
    "shorter-than-said":  Misbehaviour(answer(200, BODY, {"Content-Length": "20"}), *UNREADABLE),
    "two-lengths":        Misbehaviour(raw(OK, b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
                                           BODY), *BROKEN),
    "chunk-of-minus-one": Misbehaviour(raw(CHUNKED + b"-1\r\n" + BODY), *BROKEN),
    "tls-alert":          Misbehaviour(raw(b"\x15\x03\x01\x00\x02\x02\x28"), *BROKEN),
    "http-09":            Misbehaviour(raw(BODY), *BROKEN),
    "http-2":             Misbehaviour(raw(b"\0\0\x12\x04\0\0\0\0\0"), *BROKEN),
    "not-a-status":       Misbehaviour(raw(b"HTTP/1.1 2OO Okay\r\n\r\n"), *BROKEN),
}
# Of the platforms that are built in.
INSIDE_200: Final[Mapping[str, Misbehaviour]] = {
    "google":             Misbehaviour(answer_json(200, {"error": "invalid_grant"}), "permanent",
                                       "invalid_grant"),
    "facebook":           Misbehaviour(answer_json(200, {"error": {"code": 190, "message": "no"}}),
                                       "permanent", "190"),
    "tiktok":             Misbehaviour(answer_json(200, {"error": "invalid_grant"}), "permanent",
                                       "invalid_grant"),
}
# fmt: on
MISBEHAVIOURS: Final[Mapping[str, Misbehaviour]] = {
    **SLOW_AND_ENDLESS,
    **PACKED,
    **REDIRECTS,
    **LIES,
    **STATUSES,
    **WIRE,
    **INSIDE_200,
}
