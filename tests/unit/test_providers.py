"""What each provider is asked, and what of it the engine sees."""

from base64 import b64decode

import pytest
from rich.pretty import pretty_repr

from clearlift_adapters.oauth.providers import (
    SETTINGS,
    ClientCredentials,
    OAuthProvider,
    SettingNames,
    built_in,
    declared,
)
from clearlift_adapters.oauth.wire import SEND_WITHIN_MS
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Provider

CLIENT = ClientCredentials("client-id", "client-secret")
CLIENTS = dict.fromkeys(SETTINGS, CLIENT)
NAMES = SettingNames("ACME_ID", "ACME_SECRET", "providers.acme.token_url")


def acme(**also: object) -> OAuthProvider:
    options = {"token_url": "https://acme.test/token", "client": CLIENT, "settings": NAMES}
    return declared("acme", **(options | also))  # type: ignore[arg-type]  # Any option, by name.


@pytest.mark.parametrize(
    ("name", "url", "form"),
    [
        (
            "google",
            "https://oauth2.googleapis.com/token",
            {
                "client_id": "client-id",
                "client_secret": "client-secret",
                "refresh_token": "the-token",
                "grant_type": "refresh_token",
            },
        ),
        (
            "facebook",
            "https://graph.facebook.com/v26.0/oauth/access_token",
            {
                "client_id": "client-id",
                "client_secret": "client-secret",
                "fb_exchange_token": "the-token",
                "grant_type": "fb_exchange_token",
            },
        ),
        (
            "tiktok",
            "https://open.tiktokapis.com/v2/oauth/token/",
            {
                "client_key": "client-id",
                "client_secret": "client-secret",
                "refresh_token": "the-token",
                "grant_type": "refresh_token",
            },
        ),
    ],
)
def test_built_in_provider_is_asked_in_its_own_words(
    name: str, url: str, form: dict[str, str]
) -> None:
    provider = built_in(CLIENTS)[name]

    request = provider.request("the-token")

    assert (request.endpoint.url, request.form, request.headers) == (url, form, {})


def test_engine_sees_the_pace_and_the_habits_of_each() -> None:
    seen = {name: provider.seen_by_engine() for name, provider in built_in(CLIENTS).items()}

    assert seen == {
        "google": Provider("google", Rate(1, 102)),
        "facebook": Provider("facebook", Rate(200, HOUR_MS + 10_000 + SEND_WITHIN_MS)),
        "tiktok": Provider("tiktok", Rate(1, 102), rotates=True),
    }


def test_url_of_a_built_in_provider_can_be_set_to_https_or_loopback() -> None:
    set_to = built_in(CLIENTS, {"google": "http://127.0.0.1:8080/token"})

    with pytest.raises(ConfigurationError, match=r"^TIKTOK_TOKEN_URL is plain http"):
        built_in(CLIENTS, {"tiktok": "http://proxy.internal/token"})

    assert set_to["google"].endpoint.url == "http://127.0.0.1:8080/token"
    assert set_to["tiktok"].endpoint.url == "https://open.tiktokapis.com/v2/oauth/token/"


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        (ClientCredentials(), "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET are not set"),
        (ClientCredentials("id"), "GOOGLE_CLIENT_SECRET is not set"),
        (ClientCredentials("", "secret"), "GOOGLE_CLIENT_ID is not set"),
        (
            ClientCredentials("id", "secret\n"),
            "GOOGLE_CLIENT_SECRET has characters at its end or within that cannot be meant",
        ),
        (ClientCredentials("id", "secret"), None),
    ],
)
def test_credentials_that_cannot_work_are_a_problem_before_anybody_is_asked(
    client: ClientCredentials, problem: str | None
) -> None:
    provider = built_in({"google": client})["google"]

    seen = provider.seen_by_engine()

    assert seen.problem == problem


def test_declared_provider_says_who_we_are_in_the_body() -> None:
    request = acme(extra={"audience": "ads"}).request("the-token")

    assert request.form == {
        "grant_type": "refresh_token",
        "refresh_token": "the-token",
        "audience": "ads",
        "client_id": "client-id",
        "client_secret": "client-secret",
    }


def test_declared_provider_says_who_we_are_in_a_header_form_encoded() -> None:
    client = ClientCredentials("id:1", "se cret/%")

    request = acme(auth="basic", client=client).request("the-token")

    kind, _, pair = request.headers["Authorization"].partition(" ")
    assert (kind, b64decode(pair)) == ("Basic", b"id%3A1:se+cret%2F%25")
    assert request.form == {"grant_type": "refresh_token", "refresh_token": "the-token"}


@pytest.mark.parametrize(
    ("per_second", "rate"),
    [
        (10, Rate(1, 100)),
        (3, Rate(1, 334)),
        (0.5, Rate(1, 2000)),
        (1999, Rate(1, 1)),
        (2000, Rate(2, 1)),
        (10_000, Rate(10, 1)),
    ],
)
def test_pace_of_a_declared_provider_is_never_above_what_is_declared(
    per_second: float, rate: Rate
) -> None:
    seen = acme(requests_per_second=per_second).seen_by_engine()

    assert seen == Provider("acme", rate, rotates=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_second": 0},
        {"requests_per_second": -1},
        {"requests_per_second": float("nan")},
        {"requests_per_second": float("inf")},
        {"token_url": "http://acme.test/token"},
        {"extra": {"refresh_token": "x"}},
        {"extra": {"client_secret": "x"}},
    ],
)
def test_declaration_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"acme"):
        acme(**wrong)


@pytest.mark.parametrize("name", ["google", "facebook", "tiktok", "stripe"])
def test_name_that_is_built_in_cannot_be_declared(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        declared(name, token_url="https://acme.test/token", client=CLIENT, settings=NAMES)


def test_no_provider_prints_its_secrets() -> None:
    provider = acme(auth="basic", token_url="https://acme.test/token?key=in-the-query")
    request = provider.request("the-token")

    things = (provider, CLIENT, request, provider.endpoint, {"acme": provider})
    printed = "".join(show(thing) for thing in things for show in (repr, str, pretty_repr))

    secrets = ("client-secret", "the-token", "in-the-query", *request.headers.values())
    assert not [secret for secret in secrets if secret in printed]
