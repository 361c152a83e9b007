"""Who is let in to the served pages, and who may make them do something."""

from base64 import b64encode

import pytest

from clearlift_adapters.web.door import PROBES, TICK, Door, is_loopback

TOKEN = "0123456789abcdef"
LOCAL = Door("127.0.0.1")
OPEN = Door("0.0.0.0", TOKEN)
HERE = {"host": "localhost:8787"}


def asked(
    door: Door, path: str, headers: dict[str, str], peer: str | None = "127.0.0.1"
) -> int | None:
    refusal = door.refusal(path, headers, peer)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("", False),
    ],
)
def test_loopback_is_what_always_means_this_machine(host: str, local: bool) -> None:  # noqa: FBT001  a table
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["localhost", "localhost:8787", "127.0.0.1:8787", "[::1]:8787"])
@pytest.mark.parametrize("path", ["/", "/status.json", TICK])
def test_this_machine_may_look_and_tick(host: str, path: str) -> None:
    assert asked(LOCAL, path, {"host": host}) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "localhost@evil.example", "", "[", "10.0.0.1"]
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/connections/c.json", TICK])
def test_a_name_that_was_rebound_to_loopback_gets_nothing(host: str, path: str) -> None:
    assert asked(LOCAL, path, {"host": host}) == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"referer": "https://evil.example/page"},
        {"referer": "http://[/"},
        {"x-forwarded-for": "127.0.0.1"},
        {"forwarded": "for=10.0.0.1"},
    ],
)
def test_another_sites_page_and_a_proxy_cannot_run_a_tick(headers: dict[str, str]) -> None:
    assert asked(LOCAL, TICK, {**HERE, **headers}) == 403


@pytest.mark.parametrize("peer", ["10.0.0.1", "", None, "fe80::1%eth0"])
def test_a_tick_is_run_for_loopback_only(peer: str | None) -> None:
    assert asked(LOCAL, TICK, HERE, peer) == 403


def test_whoever_types_the_address_may_tick() -> None:
    assert asked(LOCAL, TICK, {**HERE, "sec-fetch-site": "none"}) is None
    assert asked(LOCAL, TICK, {**HERE, "origin": "http://localhost:8787"}) is None
    assert asked(LOCAL, TICK, {**HERE, "referer": "http://localhost:8787/page"}) is None


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN} ", None),
        ("Basic " + b64encode(f"anyone:{TOKEN}".encode()).decode(), None),
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Token {TOKEN}", 401),
        (f"Basic {TOKEN}", 401),
        ("Basic ?", 401),
        ("Bearer \udcff", 401),
    ],
)
def test_bound_elsewhere_only_the_token_opens(authorization: str, status: int | None) -> None:
    headers = {"host": "clearlift.example", "authorization": authorization}

    assert asked(OPEN, "/", headers, "10.0.0.1") == status
    assert asked(Door("127.0.0.1", TOKEN), "/", {**headers, **HERE}) == status


def test_bound_elsewhere_no_tick_is_run_at_all() -> None:
    assert asked(OPEN, TICK, {**HERE, "authorization": f"Bearer {TOKEN}"}) == 403


@pytest.mark.parametrize("path", PROBES)
def test_probes_need_nothing(path: str) -> None:
    assert asked(OPEN, path, {}, "10.0.0.1") is None
    assert asked(LOCAL, path, {"host": "10.0.0.7:8787"}, "10.0.0.1") is None


def test_a_door_does_not_show_its_token() -> None:
    assert TOKEN not in repr(OPEN)
    assert TOKEN not in str(OPEN.refusal("/", {}, "10.0.0.1"))
