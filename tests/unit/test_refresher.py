"""The refresher: real fields, a real server on loopback, and what the engine is told."""

import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.clock import FixedClock
from clearlift_adapters.credentials import Column, StoredCredentials, StoredTokens
from clearlift_adapters.oauth.providers import (
    SETTINGS,
    ClientCredentials,
    SettingNames,
    built_in,
    declared,
)
from clearlift_adapters.oauth.refresher import TOKEN_CHARS_MAX, HttpTokenRefresher
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Provider, Refreshed, Refused, TokenRefresher
from tests.loopback import (
    Behaviour,
    Loopback,
    Visit,
    answer,
    answer_json,
    closed_port,
    drip,
    flood,
    loopback,
    reset,
    stall,
)

NOW_MS = 1_791_633_600_000  # 2026-10-10T12:00:00Z
CIPHER = FieldCipher(b64encode(bytes(32)).decode())
CLIENT = ClientCredentials("client-id", "GOCSPX-client-secret")
ACCESS, REFRESH = "at-of-org-google-1", "rt-of-org-google-1"
STORED = StoredCredentials("org-google-1", CIPHER.seal(ACCESS), CIPHER.seal(REFRESH))
GRANTED = {"access_token": "at-new", "expires_in": 3600}
ROTATED = {**GRANTED, "refresh_token": "rt-new"}


def refresher_at(
    url: str,
    *,
    deadline_ms: int = 10_000,
    cipher: Callable[[], FieldCipher] = lambda: CIPHER,
    client: ClientCredentials = CLIENT,
) -> HttpTokenRefresher:
    names = SettingNames("ACME_ID", "ACME_SECRET", "ACME_URL")
    providers = {
        **built_in(dict.fromkeys(SETTINGS, client), dict.fromkeys(SETTINGS, url)),
        "acme": declared("acme", token_url=url, client=client, settings=names, auth="basic"),
    }
    return HttpTokenRefresher(
        cipher=cipher,
        providers=providers,
        clock=FixedClock(NOW_MS),
        deadline_ms=deadline_ms,
        send_within_ms=deadline_ms // 2,
    )


@asynccontextmanager
async def world(
    behaviour: Behaviour, *, deadline_ms: int = 10_000
) -> AsyncGenerator[tuple[Loopback, HttpTokenRefresher]]:
    async with (
        loopback(behaviour) as server,
        refresher_at(server.url, deadline_ms=deadline_ms) as refresher,
    ):
        yield server, refresher


async def unasked(
    platform: str, stored: StoredCredentials = STORED, refresher: HttpTokenRefresher | None = None
) -> Refused:
    """Return what a refresh says that must not reach the provider."""
    async with loopback(stall) as server, refresher or refresher_at(server.url) as asked:
        refused = await asked.refresh(platform, stored)
    assert isinstance(refused, Refused)
    assert (refused.asked, server.visits) == (False, [])
    return refused


def tokens_of(found: Refreshed | Refused) -> StoredTokens:
    assert isinstance(found, Refreshed), found
    assert isinstance(found.tokens, StoredTokens)
    return found.tokens


def opened(field: str | None, column: Column = "credentials_encrypted") -> str | None:
    return field and CIPHER.open(field, connection_id="org-google-1", column=column)


async def test_google_sends_the_refresh_token_and_keeps_it() -> None:
    async with world(answer_json(200, GRANTED)) as (server, refresher):
        tokens = tokens_of(await refresher.refresh("google", STORED))

    assert server.visits[0].form["refresh_token"] == REFRESH
    assert opened(tokens.access) == "at-new"
    assert (tokens.refresh, tokens.rotated) == (None, False)
    assert tokens.expires_at == NOW_MS + HOUR_MS
    assert (tokens.replaces, tokens.replaced_fingerprint) == (STORED, STORED.fingerprint)


@pytest.mark.parametrize("platform", ["tiktok", "acme", "google"])
async def test_rotated_refresh_token_is_sealed_beside_the_new_access_token(platform: str) -> None:
    async with world(answer_json(200, ROTATED)) as (_, refresher):
        tokens = tokens_of(await refresher.refresh(platform, STORED))

    assert opened(tokens.access) == "at-new"
    assert opened(tokens.refresh, "refresh_token_encrypted") == "rt-new"
    assert tokens.rotated


async def test_end_of_a_refresh_token_is_known_where_the_provider_states_it() -> None:
    answers = answer_json(200, {**ROTATED, "refresh_expires_in": 60})
    async with world(answers) as (_, refresher):
        tokens = tokens_of(await refresher.refresh("tiktok", STORED))

    assert tokens.refresh_expires_at == NOW_MS + 60_000


@pytest.mark.parametrize("returned", [REFRESH, "", None, 7])
async def test_refresh_token_that_is_the_old_one_or_none_is_no_rotation(returned: object) -> None:
    answers = answer_json(200, {**GRANTED, "refresh_token": returned})
    async with world(answers) as (_, refresher):
        tokens = tokens_of(await refresher.refresh("tiktok", STORED))

    assert (tokens.refresh, tokens.rotated) == (None, False)


async def test_facebook_exchanges_the_access_token_and_needs_no_refresh_token() -> None:
    stored = StoredCredentials("org-facebook-1", CIPHER.seal(ACCESS), None)
    async with world(answer_json(200, ROTATED)) as (server, refresher):
        tokens = tokens_of(await refresher.refresh("facebook", stored))

    assert server.visits[0].form["fb_exchange_token"] == ACCESS
    assert "refresh_token" not in server.visits[0].form
    assert opened(tokens.access) == "at-new"
    assert (tokens.refresh, tokens.rotated) == (None, False)


async def test_facebook_exchange_without_progress_is_stored_with_the_expiry_it_states() -> None:
    same = answer_json(200, {"access_token": ACCESS, "expires_in": 120})
    async with world(same) as (_, refresher):
        tokens = tokens_of(await refresher.refresh("facebook", STORED))

    assert opened(tokens.access) == ACCESS
    assert tokens.expires_at == NOW_MS + 120_000


@pytest.mark.parametrize(
    ("platform", "lifetime_ms"),
    [("google", HOUR_MS), ("tiktok", 2 * HOUR_MS), ("facebook", None), ("acme", None)],
)
async def test_answer_without_an_expiry_means_what_the_provider_documents(
    platform: str, lifetime_ms: int | None
) -> None:
    async with world(answer_json(200, {"access_token": "at-new"})) as (_, refresher):
        tokens = tokens_of(await refresher.refresh(platform, STORED))

    assert tokens.expires_at == (None if lifetime_ms is None else NOW_MS + lifetime_ms)


BROKEN_ANSWERS = {
    "never": (stall, "transient", "timeout", True),
    "a byte at a time": (drip(b"{}" * 500, every_ms=5), "transient", "timeout", True),
    "100 MB": (flood(100_000_000), "transient", "http_200", True),
    "HTML": (answer(200, b"<html>", {"Content-Type": "text/html"}), "transient", "http_200", True),
    "invalid JSON": (answer(200, b'{"access_token":'), "transient", "http_200", True),
    "reset": (reset, "transient", "broken", True),
    "redirect": (
        answer(302, b"", {"Location": "https://elsewhere.test/"}),
        "transient",
        "http_302",
        False,
    ),
    "moved": (
        answer(308, b"", {"Location": "https://elsewhere.test/"}),
        "configuration",
        "http_308",
        False,
    ),
    "error inside 200": (
        answer_json(200, {"error": "invalid_grant", "log_id": "1"}),
        "permanent",
        "invalid_grant",
        False,
    ),
    "wrong client": (
        answer_json(401, {"error": "invalid_client"}),
        "configuration",
        "invalid_client",
        False,
    ),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
async def test_answer_of_every_bad_kind_gets_its_class_in_time(name: str) -> None:
    behaviour, failure_class, code, ambiguous = BROKEN_ANSWERS[name]

    async with world(behaviour, deadline_ms=1000) as (_, refresher):
        refused = await refresher.refresh("tiktok", STORED)

    assert isinstance(refused, Refused)
    assert (refused.failure_class, refused.code) == (failure_class, code)
    assert (refused.ambiguous, refused.asked) == (ambiguous, True)


async def test_provider_that_is_not_there_is_transient_and_was_sent_nothing() -> None:
    async with refresher_at(f"http://127.0.0.1:{closed_port()}/token") as refresher:
        refused = await refresher.refresh("google", STORED)

    assert isinstance(refused, Refused)
    assert (refused.failure_class, refused.ambiguous) == ("transient", False)
    assert refused.message == "Google refused the connection; it will be tried again"


@pytest.mark.parametrize("platform", ["google", "facebook", "tiktok", "acme"])
async def test_refusal_never_repeats_what_was_sent(platform: str) -> None:
    async def echo(visit: Visit) -> None:
        sent = f"{visit.form} {visit.headers}"
        code = {"message": sent, "code": 190} if platform == "facebook" else sent
        await answer_json(400, {"error": code, "error_description": sent})(visit)

    async with world(echo) as (server, refresher):
        refused = await refresher.refresh(platform, STORED)

    visit = server.visits[0]
    secrets = [ACCESS, REFRESH, "GOCSPX-client-secret", visit.headers.get("authorization", ACCESS)]
    assert isinstance(refused, Refused)
    assert not [secret for secret in secrets if secret in repr(refused)]


@pytest.mark.parametrize(
    "field",
    [None, "", b"", CIPHER.seal(""), CIPHER.seal(" \n")],
    ids=["NULL", "empty", "no bytes", "nothing sealed", "blanks sealed"],
)
async def test_without_a_stored_token_nobody_is_asked(field: str | bytes | None) -> None:
    google = await unasked("google", StoredCredentials("org-google-1", STORED.access, field))
    facebook = await unasked("facebook", StoredCredentials("org-facebook-1", field, None))

    assert google.message == "no refresh token stored; the user must reconnect"
    assert facebook.message == "no access token stored; the user must reconnect"
    assert {google.failure_class, facebook.failure_class} == {"permanent"}


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("not a field", "is malformed"),
        (b"\xff\x00", "is malformed"),
        ("A" * 2_000_000, "is malformed"),
        (CIPHER.seal("t" * (TOKEN_CHARS_MAX + 1)), "is too long to be one"),
    ],
)
async def test_stored_token_that_is_none_is_permanent_and_nobody_is_asked(
    field: str | bytes, reason: str
) -> None:
    refused = await unasked("tiktok", StoredCredentials("org-tiktok-1", STORED.access, field))

    assert refused.message == f"the stored refresh token {reason}; the user must reconnect"
    assert (refused.failure_class, refused.undecryptable) == ("permanent", False)


async def test_field_of_another_key_is_told_apart_for_the_key_itself_may_be_wrong() -> None:
    other = FieldCipher(b64encode(bytes([7] * 32)).decode())
    stored = StoredCredentials("org-google-1", other.seal(ACCESS), other.seal(REFRESH))

    refused = await unasked("google", stored)

    assert (refused.failure_class, refused.undecryptable) == ("permanent", True)
    assert refused.message == (
        "the stored refresh token opens with none of our keys; the user must reconnect"
    )


async def test_missing_client_credentials_are_configuration_and_nobody_is_asked() -> None:
    refresher = refresher_at("http://127.0.0.1:1/token", client=ClientCredentials("client-id"))

    refused = await unasked("facebook", refresher=refresher)

    assert (refused.failure_class, refused.message) == (
        "configuration",
        "FACEBOOK_APP_SECRET is not set",
    )
    assert refresher.providers["facebook"].problem == refused.message


async def test_missing_key_is_configuration_and_is_raised_where_keys_are_asked_about() -> None:
    def no_key() -> FieldCipher:
        raise ConfigurationError("ENCRYPTION_KEY is not set")

    refresher = refresher_at("http://127.0.0.1:1/token", cipher=no_key)
    refused = await unasked("google", refresher=refresher)

    assert (refused.failure_class, refused.message) == (
        "configuration",
        "ENCRYPTION_KEY is not set",
    )
    with pytest.raises(ConfigurationError):
        refresher.opens_any([STORED])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://user:proxy-password@127.0.0.1:1"),
        ("HTTPS_PROXY", "http://user:proxy-password@host:port"),
        ("SSL_CERT_FILE", "/no/such/proxy-password"),
    ],
)
async def test_environment_that_no_client_can_be_made_with_is_configuration(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    refused = await unasked("google")

    assert refused.failure_class == "configuration"
    assert name in refused.message
    assert "proxy-password" not in refused.message


@pytest.mark.parametrize("platform", ["stripe", "unheard-of"])
async def test_platform_that_cannot_be_refreshed_is_not_asked(platform: str) -> None:
    refused = await unasked(platform)

    assert refused.failure_class == "configuration"


def test_engine_sees_every_provider_and_that_stripe_lasts() -> None:
    refresher: TokenRefresher = refresher_at("http://127.0.0.1:1/token")

    seen = refresher.providers

    assert sorted(seen) == ["acme", "facebook", "google", "stripe", "tiktok"]
    assert seen["stripe"] == Provider("stripe", rate=None)


def test_any_field_that_opens_shows_the_key_to_be_right() -> None:
    refresher = refresher_at("http://127.0.0.1:1/token")
    other = FieldCipher(b64encode(bytes([7] * 32)).decode()).seal(REFRESH)
    hopeless = StoredCredentials("a", "malformed", other)

    assert refresher.opens_any([hopeless, StoredCredentials("b", None, STORED.refresh)])
    assert refresher.opens_any([StoredCredentials("c", STORED.access, other)])
    assert not refresher.opens_any([hopeless, StoredCredentials("d", None, None)])
    assert not refresher.opens_any([])


def test_httpx_comes_without_its_command_line() -> None:
    program = (
        "import sys, clearlift_adapters.oauth.exchange as exchange\n"
        "print(sorted({'httpx', 'rich', 'pygments', 'click'} & sys.modules.keys()))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)

    assert done.stdout == b"['httpx']\n"


def test_nothing_is_loaded_before_it_is_needed() -> None:
    program = (
        "import sys\n"
        "from clearlift_adapters.oauth.providers import built_in\n"
        "from clearlift_adapters.oauth.refresher import HttpTokenRefresher\n"
        "from clearlift_adapters.clock import SystemClock\n"
        "refresher = HttpTokenRefresher(cipher=exit, providers=built_in({}), clock=SystemClock())\n"
        "assert refresher.providers['google'].problem\n"
        "print(sorted({'httpx', 'httpcore', 'cryptography'} & sys.modules.keys()))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)

    assert done.stdout == b"[]\n"
