"""The token endpoints of all platforms on this machine, each in the wire shape of the real one.

Shapes: developers.google.com/identity/protocols/oauth2/web-server#offline (no new refresh token),
developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived (no refresh token
at all), developers.tiktok.com/doc/oauth-user-access-token-management (a new one, and errors inside
200), RFC 6749 §5 and §6 with rotation (a declared provider, `acme`).
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests.loopback import Behaviour, Loopback, Visit, answer_json, loopback

LIFETIME_S: Final = 3599
CLIENTS: Final[Mapping[str, str]] = {
    "GOOGLE_CLIENT_ID": "google client",
    "GOOGLE_CLIENT_SECRET": "google secret",
    "FACEBOOK_APP_ID": "facebook app",
    "FACEBOOK_APP_SECRET": "facebook secret",
    "TIKTOK_APP_KEY": "tiktok key",
    "TIKTOK_APP_SECRET": "tiktok secret",
    "ACME_CLIENT_ID": "acme client",
    "ACME_CLIENT_SECRET": "acme secret",
}
_ROTATES: Final = ("tiktok", "acme")


class Authority:
    """Gives new tokens for old ones; a refresh token that has been replaced is dead."""

    def __init__(self) -> None:
        self.granted: dict[str, str] = {}  # The new access token, by the token that was sent.
        self.renewed: dict[str, str] = {}  # The new refresh token, likewise.
        self.otherwise: dict[str, Behaviour] = {}  # What is done instead, by the token sent.
        self._server = Loopback("")

    @property
    def visits(self) -> Sequence[Visit]:
        """Return the requests that came, in their order."""
        return self._server.visits

    @property
    def sent(self) -> Sequence[str]:
        """Return the tokens that were sent, in their order."""
        return [sent_in(visit) for visit in self.visits]

    @property
    def environment(self) -> Mapping[str, str]:
        """Return what the program has to be told, to come here."""
        platforms = ("google", "facebook", "tiktok")
        urls = {f"{name.upper()}_TOKEN_URL": f"{self._server.url}/{name}" for name in platforms}
        return {**CLIENTS, **urls}

    def declaration(self, requests_per_second: int) -> str:
        """Return the configuration file that declares `acme`."""
        return (
            "[providers.acme]\n"
            f'token_url = "{self._server.url}/acme"\n'
            'client_id_env = "ACME_CLIENT_ID"\n'
            'client_secret_env = "ACME_CLIENT_SECRET"\n'
            f"requests_per_second = {requests_per_second}\n"
        )

    async def __call__(self, visit: Visit) -> None:
        token = sent_in(visit)
        await self.otherwise.get(token, self.grant)(visit)

    async def grant(self, visit: Visit) -> None:
        """Answer with new tokens, or that the token has been replaced."""
        platform, token = platform_of(visit), sent_in(visit)
        if token in self.renewed:
            await answer_json(400, {"error": "invalid_grant"})(visit)
            return
        self.granted[token] = f"new+access/token-{len(self.granted)}="
        body: dict[str, object] = {
            "access_token": self.granted[token],
            "token_type": "bearer",
            "expires_in": LIFETIME_S,
        }
        if platform in _ROTATES:
            body["refresh_token"] = self.renewed[token] = f"new+refresh/token-{len(self.renewed)}="
        await answer_json(200, body)(visit)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Answer until the block ends."""
        async with loopback(self) as self._server:
            yield


def platform_of(visit: Visit) -> str:
    """Return whose endpoint was asked."""
    return visit.target.rpartition("/")[2]


def sent_in(visit: Visit) -> str:
    """Return the token that a request wants exchanged."""
    return visit.form["fb_exchange_token" if "facebook" in visit.target else "refresh_token"]
