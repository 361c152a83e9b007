"""The port TokenRefresher over HTTP: open, ask, judge, seal.

How to wire it (all plain data, nothing is read from the environment here):

    providers = {
        **built_in(
            {"google": ClientCredentials(client_id, client_secret), ...},
            {"google": "http://127.0.0.1:8080/token"},      # overrides only
        ),
        "acme": declared("acme", token_url=..., client=..., settings=SettingNames(...)),
    }
    async with HttpTokenRefresher(
        cipher=lambda: FieldCipher(key, previous_keys),      # import cipher in there
        providers=providers,
        clock=SystemClock(),
    ) as refresher:
        ...

`cipher` is called once, when the first field has to be opened, and `exchange` is loaded when the
first request has to go out: a tick that refreshes nothing loads neither cryptography nor httpx. A
ConfigurationError that `cipher` raises is a refusal of class `configuration` to `refresh`, and
passes through `opens_any`.

What is decrypted lives in local variables of one call. It is never in a message, a log or an event,
and the structs that hold it do not print it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote_plus

import msgspec

from clearlift_adapters.credentials import (
    Column,
    FieldError,
    StoredCredentials,
    StoredTokens,
    UndecryptableFieldError,
)
from clearlift_adapters.oauth.providers import NEVER_REFRESHED, OAuthProvider
from clearlift_adapters.oauth.verdicts import Granted, verdict
from clearlift_adapters.oauth.wire import DEADLINE_MS, SEND_WITHIN_MS, Lost
from clearlift_adapters.oauth.wording import refused, unanswered
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.ports import (
    Clock,
    Provider,
    Refreshed,
    Refused,
    SealedCredentials,
    SealedTokens,
)

if TYPE_CHECKING:  # Both are loaded when they are needed.
    from clearlift_adapters.cipher import FieldCipher
    from clearlift_adapters.oauth.exchange import Exchange

TOKEN_CHARS_MAX: Final = 16 * 1024  # No provider has longer ones; a field of 2 MB is no token.

_NAMES: Final[Mapping[Column, str]] = {
    "credentials_encrypted": "access token",
    "refresh_token_encrypted": "refresh token",
}


class HttpTokenRefresher:
    """The providers' token endpoints, and the key that the tokens are encrypted with."""

    def __init__(
        self,
        *,
        cipher: "Callable[[], FieldCipher]",
        providers: Mapping[str, OAuthProvider],
        clock: Clock,
        deadline_ms: int = DEADLINE_MS,
        send_within_ms: int = SEND_WITHIN_MS,
    ) -> None:
        self._make_cipher = cipher
        self._oauth = providers
        self._clock = clock
        self._deadline_ms = deadline_ms
        self._send_within_ms = send_within_ms
        self._cipher: FieldCipher | None = None
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._exchange is not None:
            await self._exchange.__aexit__(exc_type, exc, traceback)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Return what is known of each platform, those that are never refreshed among them."""
        lasting = {name: Provider(name, rate=None) for name in NEVER_REFRESHED}
        return lasting | {name: oauth.seen_by_engine() for name, oauth in self._oauth.items()}

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        """Ask for new tokens, once, and return within DEADLINE_MS whatever happens."""
        assert isinstance(credentials, StoredCredentials), "credentials come from our own stores"
        provider = self._oauth.get(platform)
        if provider is None:
            return _misconfigured(f"no provider is declared for {platform!r}")
        if provider.problem is not None:
            return _misconfigured(provider.problem)
        try:
            token = self._token(provider, credentials)
            if isinstance(token, Refused):
                return token
            misplaced = self._loaded_cipher().seals.misplaced(credentials)
            if misplaced is not None:
                return _unusable(f"{misplaced.column} {misplaced.reason}")
            exchange = self._loaded_exchange()
        except ConfigurationError as exc:
            return _misconfigured(str(exc))
        return await self._ask(exchange, provider, credentials, token)

    def rebase(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        """Return `tokens` as they may be stored over `stored`; None if that is another grant."""
        assert isinstance(tokens, StoredTokens), "tokens come from this refresher"
        assert isinstance(stored, StoredCredentials), "credentials come from our own stores"
        provider = self._oauth.get(platform)
        if provider is None:
            return None
        try:
            sent = self._token(provider, tokens.replaces)
            now = self._token(provider, stored)
        except ConfigurationError:
            return tokens  # Nobody can tell without the key: they are kept for who can.
        if isinstance(sent, Refused) or sent != now:
            return None
        seal = self._refresh_seal(stored, tokens.refresh)
        return msgspec.structs.replace(tokens, replaces=stored, refresh_seal=seal)

    def prepare(self) -> None:
        """Load what the first request needs, so that no request waits for it past its slot."""
        with suppress(ConfigurationError):  # The request itself will say what is wrong.
            self._loaded_exchange()

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        """Return whether one of our keys decrypts any of these fields.

        Raises:
            ConfigurationError: there is no key, or it is not one.
        """
        return any(self._opens(credentials) for credentials in sample)

    def _opens(self, credentials: SealedCredentials) -> bool:
        assert isinstance(credentials, StoredCredentials), "credentials come from our own stores"
        for column in _NAMES:
            try:
                if self._open(credentials, column) is not None:
                    return True
            except FieldError:
                continue
        return False

    def _token(self, provider: OAuthProvider, credentials: StoredCredentials) -> str | Refused:
        """Return the token to send, or why there is none that could be sent."""
        column = provider.shape.sends
        name = _NAMES[column]
        try:
            token = self._open(credentials, column)
        except UndecryptableFieldError:
            return _unusable(f"the stored {name} opens with none of our keys", undecryptable=True)
        except FieldError as exc:
            return _unusable(f"the stored {name} {exc.reason}")
        if token is None or not token.strip():
            return _unusable(f"no {name} stored")
        if len(token) > TOKEN_CHARS_MAX:
            return _unusable(f"the stored {name} is too long to be one")
        return token

    def _open(self, credentials: StoredCredentials, column: Column) -> str | None:
        is_access = column == "credentials_encrypted"
        field = credentials.access if is_access else credentials.refresh
        if not field:
            return None
        cipher = self._loaded_cipher()
        return cipher.open(field, connection_id=credentials.connection_id, column=column)

    async def _ask(
        self,
        exchange: "Exchange",
        provider: OAuthProvider,
        credentials: StoredCredentials,
        token: str,
    ) -> Refreshed | Refused:
        asked_at = self._clock.now()  # A lifetime counts from here: rather too short than too long.
        answer = await exchange.post(provider.request(token))
        if isinstance(answer, Lost):
            return unanswered(answer, provider=provider.label)
        found = verdict(provider.shape.explain, answer, self._clock.now())
        if isinstance(found, Granted):
            tokens = self._sealed(provider, credentials, token, found, asked_at)
            return Refreshed(tokens, answer.latency_ms)
        names = provider.settings
        return refused(
            found,
            provider=provider.label,
            settings=f"{names.client_id} and {names.client_secret}",
            endpoint_setting=names.token_url,
            secrets=_secrets(provider, token),
            latency_ms=answer.latency_ms,
        )

    def _sealed(
        self,
        provider: OAuthProvider,
        credentials: StoredCredentials,
        sent: str,
        granted: Granted,
        asked_at: int,
    ) -> StoredTokens:
        """Return the new tokens encrypted; a refresh token only if it is another than was sent.

        An exchange that makes no progress (Facebook may give back the very token it was sent, with
        what is left of its life) is stored like any other: its expiry is the truth, and the next
        cycle asks again.
        """
        cipher = self._loaded_cipher()
        lifetime_s = provider.lifetime_s if granted.expires_in_s is None else granted.expires_in_s
        rotated = (
            provider.shape.sends == "refresh_token_encrypted"
            and granted.refresh_token is not None
            and granted.refresh_token != sent
        )
        access = cipher.seal(granted.access_token)
        refresh = cipher.seal(granted.refresh_token or "") if rotated else None
        return StoredTokens(
            replaces=credentials,
            access=access,
            refresh=refresh,
            expires_at=None if lifetime_s is None else asked_at + lifetime_s * 1000,
            rotated=rotated,
            refresh_expires_at=(
                None
                if granted.refresh_expires_in_s is None
                else asked_at + granted.refresh_expires_in_s * 1000
            ),
            access_seal=cipher.seals.seal(
                access, connection_id=credentials.connection_id, column="credentials_encrypted"
            ),
            refresh_seal=self._refresh_seal(credentials, refresh),
        )

    def _refresh_seal(self, credentials: StoredCredentials, new: str | None) -> str | None:
        """Return the seal of the refresh token that will be there, if one will."""
        field = new or credentials.refresh
        if not isinstance(field, str) or not field:
            return None
        return self._loaded_cipher().seals.seal(
            field, connection_id=credentials.connection_id, column="refresh_token_encrypted"
        )

    def _loaded_cipher(self) -> "FieldCipher":
        if self._cipher is None:
            self._cipher = self._make_cipher()
        return self._cipher

    def _loaded_exchange(self) -> "Exchange":
        if self._exchange is None:
            # httpx takes 280 ms to load, and most ticks send nothing.
            from clearlift_adapters.oauth.exchange import Exchange  # noqa: PLC0415  see above

            self._exchange = Exchange(
                deadline_ms=self._deadline_ms, send_within_ms=self._send_within_ms
            )
        return self._exchange


def _misconfigured(message: str) -> Refused:
    return Refused("configuration", message, asked=False)


def _unusable(reason: str, *, undecryptable: bool = False) -> Refused:
    return Refused(
        "permanent",
        f"{reason}; the user must reconnect",
        undecryptable=undecryptable,
        asked=False,
    )


def _secrets(provider: OAuthProvider, token: str) -> Collection[str]:
    """Return everything secret that was sent, as it is and as a form spells it."""
    secret = provider.client.client_secret or ""
    sent = {token, secret, *provider.request(token).headers.values()}
    return sent | {quote_plus(text) for text in sent}
