"""The demo's providers: what they answer is read by the very verdicts that read the real ones."""

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.demo.listener import Form, Reply, listening
from clearlift_adapters.demo.provider import CLIENT, LIFETIMES_S, PLATFORMS, Providers, Tokens
from clearlift_adapters.oauth.providers import ClientCredentials, built_in
from clearlift_adapters.oauth.verdicts import Finding, Granted, verdict
from clearlift_adapters.oauth.wire import Answer
from clearlift_engine.policy import MINUTE_MS
from tests.given import NOW_MS

OAUTH = built_in(dict.fromkeys(PLATFORMS, CLIENT))

each_platform = pytest.mark.parametrize("platform", PLATFORMS)


@pytest.fixture
def providers() -> Providers:
    return Providers(FixedClock(NOW_MS))


def reply_to(providers: Providers, platform: str, token: str) -> Reply | None:
    return providers.answer(f"/{platform}", OAUTH[platform].request(token).form)


def asked(providers: Providers, platform: str, token: str) -> Granted | Finding:
    """Ask for new tokens, and return what we make of the answer."""
    reply = reply_to(providers, platform, token)
    assert reply is not None
    headers = {name.lower(): text for name, text in reply.headers.items()}
    answer = Answer(reply.status, {"content-type": reply.content_type, **headers}, reply.body)
    return verdict(OAUTH[platform].shape.explain, answer, NOW_MS)


def sent(tokens: Tokens) -> str:
    """Return the token that a request sends: Facebook has no other than the access token."""
    return tokens.refresh or tokens.access


@each_platform
def test_each_grants_a_new_access_token_for_its_own_time(
    providers: Providers, platform: str
) -> None:
    tokens = providers.consent(platform, "1")

    granted = asked(providers, platform, sent(tokens))

    assert isinstance(granted, Granted)
    assert granted.access_token != tokens.access
    assert granted.expires_in_s == LIFETIMES_S[platform]
    assert (granted.refresh_token is not None) == (platform == "tiktok")


def test_rotated_token_is_good_once_and_the_new_one_goes_on(providers: Providers) -> None:
    first = sent(providers.consent("tiktok", "1"))

    granted = asked(providers, "tiktok", first)
    again = asked(providers, "tiktok", first)
    assert isinstance(granted, Granted)
    assert granted.refresh_token is not None
    later = asked(providers, "tiktok", granted.refresh_token)

    assert isinstance(again, Finding)
    assert again.failure_class == "permanent"
    assert isinstance(later, Granted)
    assert [visit.ending for visit in providers.visits] == ["granted", "spent", "granted"]


def test_lost_answer_has_rotated_the_token_all_the_same(providers: Providers) -> None:
    token = sent(providers.consent("tiktok", "1"))
    providers.lose_answer("tiktok", "1")

    assert reply_to(providers, "tiktok", token) is None
    assert isinstance(asked(providers, "tiktok", token), Finding)
    assert [visit.ending for visit in providers.visits] == ["lost", "spent"]


@each_platform
def test_withdrawn_consent_is_permanent_until_it_is_given_again(
    providers: Providers, platform: str
) -> None:
    old = sent(providers.consent(platform, "1"))
    other = sent(providers.consent(platform, "2"))
    providers.revoke(platform, "1")

    refused = asked(providers, platform, old)
    new = sent(providers.consent(platform, "1"))

    assert isinstance(refused, Finding)
    assert refused.failure_class == "permanent"
    assert isinstance(asked(providers, platform, new), Granted)
    assert isinstance(asked(providers, platform, other), Granted)
    assert isinstance(asked(providers, platform, old), Finding)


@each_platform
def test_outage_is_transient_and_ends(providers: Providers, platform: str) -> None:
    token = sent(providers.consent(platform, "1"))

    providers.fail(platform)
    refused = asked(providers, platform, token)
    providers.recover(platform)

    assert isinstance(refused, Finding)
    assert (refused.failure_class, refused.ambiguous) == ("transient", True)
    assert isinstance(asked(providers, platform, token), Granted)


@each_platform
def test_throttling_says_for_how_long(providers: Providers, platform: str) -> None:
    token = sent(providers.consent(platform, "1"))
    providers.throttle(platform, minutes=40)

    refused = asked(providers, platform, token)

    assert isinstance(refused, Finding)
    assert (refused.failure_class, refused.retry_after_ms) == ("throttled", 40 * MINUTE_MS)


@each_platform
def test_strangers_learn_that_it_is_their_own_fault(providers: Providers, platform: str) -> None:
    token = sent(providers.consent(platform, "1"))
    others = built_in(dict.fromkeys(PLATFORMS, ClientCredentials("demo-client", "guessed")))
    form: Mapping[str, str] = others[platform].request(token).form

    reply = providers.answer(f"/{platform}", form)

    assert reply is not None
    finding = verdict(OAUTH[platform].shape.explain, Answer(reply.status, {}, reply.body), NOW_MS)
    assert isinstance(finding, Finding)
    assert finding.failure_class == "configuration"


async def test_listener_answers_forms_on_one_connection_and_hangs_up_when_told_to() -> None:
    seen: list[tuple[str, Form]] = []

    def answer(path: str, form: Form) -> Reply | None:
        seen.append((path, form))
        return Reply(200, msgspec.json.encode(form)) if form.get("a") else None

    async with listening(answer) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        for body in (b"a=1", b"a=%20%26", b"b="):
            writer.write(b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        received = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert seen == [("/x", {"a": "1"}), ("/x", {"a": " &"}), ("/x", {"b": ""})]
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.endswith(b'{"a":" &"}')


@pytest.mark.parametrize(
    "request_head", [b"GET / HTTP/1.1", b"POST / HTTP/1.1\r\nContent-Length: x", b"POST"]
)
async def test_listener_refuses_what_is_no_form(request_head: bytes) -> None:
    async with listening(lambda _path, _form: Reply(200, b"{}")) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(request_head + b"\r\n\r\n")
        received = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert received.startswith(b"HTTP/1.1 400 ")
