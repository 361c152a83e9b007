"""Who can be asked for tokens, as data: the three that are built in, and those a file declares.

Nothing here reads the environment and nothing opens a connection: `settings` passes in what it
found, under the names in SETTINGS, and gets back what `refresher.HttpTokenRefresher` takes.
"""

import math
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote_plus

import msgspec

from clearlift_adapters.credentials import Column
from clearlift_adapters.oauth import facebook, google, rfc6749, tiktok
from clearlift_adapters.oauth.verdicts import Explain
from clearlift_adapters.oauth.wire import SEND_WITHIN_MS, Endpoint, TokenRequest
from clearlift_adapters.redacted import Redacted
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Provider

NEVER_REFRESHED: Final = ("stripe",)  # API keys: whatever expires_at says.

# A request leaves some time after its slot: the engine starts it up to 10 s late or not at all, and
# then it has SEND_WITHIN_MS to leave. Two requests whose slots are an hour and this apart are never
# less than an hour apart on the wire, which is what "200 in any hour" is about.
SLOT_TO_WIRE_MS: Final = 10_000 + SEND_WITHIN_MS


class SettingNames(msgspec.Struct, frozen=True):
    """What a provider is configured with: environment variables, or places in a file."""

    client_id: str
    client_secret: str
    token_url: str


SETTINGS: Final[Mapping[str, SettingNames]] = {
    "google": SettingNames("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_TOKEN_URL"),
    "facebook": SettingNames("FACEBOOK_APP_ID", "FACEBOOK_APP_SECRET", "FACEBOOK_TOKEN_URL"),
    "tiktok": SettingNames("TIKTOK_APP_KEY", "TIKTOK_APP_SECRET", "TIKTOK_TOKEN_URL"),
}


class ClientCredentials(Redacted, frozen=True):
    """Who we are to a provider; either may be missing."""

    client_id: str | None = None
    client_secret: str | None = None


class Shape(msgspec.Struct, frozen=True):
    """What a provider wants to be asked, and how its refusals are read."""

    sends: Column
    grant: str  # The grant type, and the name of the field with the token: one word for both.
    client_id: str  # The name of that field.
    explain: Explain


class OAuthProvider(Redacted, frozen=True, kw_only=True):
    """One provider: where, how, how often and as whom it is asked."""

    name: str  # platform_connections.platform
    label: str  # As people know it.
    shape: Shape
    endpoint: Endpoint
    client: ClientCredentials
    settings: SettingNames
    rate: Rate
    rotates: bool
    without_expiry: Literal["lasts", "refresh"] = "lasts"
    lifetime_s: int | None = None  # Where an answer does not say; None: it does not expire.
    auth: Literal["body", "basic"] = "body"
    extra: Mapping[str, str] = {}

    @property
    def problem(self) -> str | None:
        """Return what is wrong with our credentials, by the names of their settings."""
        given = {
            self.settings.client_id: self.client.client_id,
            self.settings.client_secret: self.client.client_secret,
        }
        missing = [setting for setting, text in given.items() if not text]
        if missing:
            return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
        odd = [setting for setting, text in given.items() if text and not _is_credential(text)]
        return f"{odd[0]} has characters at its end or within that cannot be meant" if odd else None

    def seen_by_engine(self) -> Provider:
        """Return what the engine must know of it."""
        return Provider(self.name, self.rate, self.rotates, self.without_expiry, self.problem)

    def request(self, token: str) -> TokenRequest:
        """Return the request that exchanges `token`; call it only without a `problem`."""
        client_id, secret = self.client.client_id or "", self.client.client_secret or ""
        form = {"grant_type": self.shape.grant, self.shape.grant: token, **self.extra}
        if self.auth == "basic":
            # RFC 6749 §2.3.1: each is form-encoded before they are joined.
            pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
            headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
            return TokenRequest(self.endpoint, form, headers)
        form |= {self.shape.client_id: client_id, "client_secret": secret}
        return TokenRequest(self.endpoint, form)


def _is_credential(text: str) -> bool:
    """Return whether `text` is printable ASCII (RFC 6749 appendix A) without space around it.

    A line break from a file is the usual mistake, and a provider would only say `invalid_client`.
    """
    return text.isascii() and text.isprintable() and text == text.strip()


_RFC6749: Final = Shape("refresh_token_encrypted", "refresh_token", "client_id", rfc6749.explain)
_RESERVED: Final = frozenset({"client_id", "client_secret", "grant_type", "refresh_token"})


def built_in(
    clients: Mapping[str, ClientCredentials], token_urls: Mapping[str, str] | None = None
) -> Mapping[str, OAuthProvider]:
    """Return google, facebook and tiktok, with their own URLs but for those in `token_urls`.

    Raises:
        ConfigurationError: a URL is not https, nor http to a loopback host.
    """
    urls = {**_TOKEN_URLS, **(token_urls or {})}
    # Ten a second at most, and the network brings closer what left apart.
    ten_a_second = Rate(1, 102)
    return {
        "google": OAuthProvider(
            name="google",
            label="Google",
            shape=Shape("refresh_token_encrypted", "refresh_token", "client_id", google.explain),
            endpoint=Endpoint(urls["google"], SETTINGS["google"].token_url),
            client=clients.get("google", ClientCredentials()),
            settings=SETTINGS["google"],
            rate=ten_a_second,
            rotates=False,
            lifetime_s=3600,
        ),
        "facebook": OAuthProvider(
            name="facebook",
            label="Facebook",
            shape=Shape(
                "credentials_encrypted", "fb_exchange_token", "client_id", facebook.explain
            ),
            endpoint=Endpoint(urls["facebook"], SETTINGS["facebook"].token_url),
            client=clients.get("facebook", ClientCredentials()),
            settings=SETTINGS["facebook"],
            rate=Rate(200, HOUR_MS + SLOT_TO_WIRE_MS),
            rotates=False,
        ),
        "tiktok": OAuthProvider(
            name="tiktok",
            label="TikTok",
            shape=Shape("refresh_token_encrypted", "refresh_token", "client_key", tiktok.explain),
            endpoint=Endpoint(urls["tiktok"], SETTINGS["tiktok"].token_url),
            client=clients.get("tiktok", ClientCredentials()),
            settings=SETTINGS["tiktok"],
            rate=ten_a_second,
            rotates=True,
            lifetime_s=7200,
        ),
    }


_TOKEN_URLS: Final[Mapping[str, str]] = {
    "google": "https://oauth2.googleapis.com/token",
    "facebook": "https://graph.facebook.com/v26.0/oauth/access_token",
    "tiktok": "https://open.tiktokapis.com/v2/oauth/token/",
}


def _built_in_by(name: str) -> str:
    names = SETTINGS.get(name)
    if names is None:
        return "leave it: its keys do not expire"
    return f"set {names.client_id}, {names.client_secret} and, if need be, {names.token_url}"


_MS: Final = 1000  # In a second.


def _rate(per_second: float) -> Rate:
    """Return the pace in whole milliseconds: rather slower than was asked for."""
    if per_second < 2 * _MS:
        return Rate(1, max(1, math.ceil(_MS / per_second)))
    return Rate(int(per_second) // _MS, 1)


def declared(
    name: str,
    *,
    token_url: str,
    client: ClientCredentials,
    settings: SettingNames,
    requests_per_second: float = 1.0,
    auth: Literal["body", "basic"] = "body",
    rotates: bool = True,
    without_expiry: Literal["lasts", "refresh"] = "lasts",
    extra: Mapping[str, str] | None = None,
) -> OAuthProvider:
    """Return a provider that speaks RFC 6749, as declared in the configuration file.

    `rotates` is the cautious answer for one that is not known: it costs a second request where an
    answer was lost, and believing the opposite could cost the grant.

    Raises:
        ConfigurationError: the name is taken, the URL is unfit, the pace is none, or `extra` says
            what we say ourselves.
    """
    if name in SETTINGS or name in NEVER_REFRESHED:
        raise ConfigurationError(
            f"the provider {name!r} is built in and cannot be declared: remove its table, and "
            f"{_built_in_by(name)}"
        )
    if not (math.isfinite(requests_per_second) and requests_per_second > 0):
        raise ConfigurationError(f"the provider {name!r} needs requests per second above 0")
    taken = sorted(_RESERVED & (extra or {}).keys())
    if taken:
        raise ConfigurationError(f"the provider {name!r} cannot set {', '.join(taken)} as extra")
    return OAuthProvider(
        name=name,
        label=name,
        shape=_RFC6749,
        endpoint=Endpoint(token_url, settings.token_url),
        client=client,
        settings=settings,
        rate=_rate(requests_per_second),
        rotates=rotates,
        without_expiry=without_expiry,
        auth=auth,
        extra=extra or {},
    )
