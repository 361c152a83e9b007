"""The providers' side of OAuth: the token endpoints of Google, Facebook and TikTok, as they answer.

Each knows its grants and forgets nothing, so that afterwards it can be asked how it was treated:
how fast it was asked, how often with a dead grant, and whether a spent token was used again. The
shapes of the answers are those that are listed with their sources in `clearlift_adapters.oauth`.
"""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from clearlift_adapters.demo.listener import Form, Reply
from clearlift_adapters.oauth.providers import ClientCredentials
from clearlift_adapters.redacted import Redacted
from clearlift_engine.policy import MINUTE_MS
from clearlift_engine.ports import Clock

MARK: Final = "demo-secret-"  # All tokens begin so: whoever searches a file for it finds them all.
CLIENT: Final = ClientCredentials("demo-client", f"{MARK}of-the-client")
PLATFORMS: Final = ("google", "facebook", "tiktok")
LIFETIMES_S: Final[Mapping[str, int]] = {
    "google": 3599,
    "facebook": 60 * 24 * 3600,
    "tiktok": 8 * 3600,  # A third of the real one, for more than one rotation a day.
}

_SENT_AS: Final[Mapping[str, str]] = {
    "google": "refresh_token",
    "facebook": "fb_exchange_token",
    "tiktok": "refresh_token",
}

Ending = Literal["granted", "lost", "dead", "spent", "unknown", "throttled", "down", "stranger"]


class Tokens(Redacted, frozen=True):
    """What a user's consent is worth: what our side stores, encrypted."""

    access: str
    refresh: str | None


class Visit(msgspec.Struct, frozen=True):
    """One request, when it came and how it ended; by which grant, if it was known."""

    at: int
    platform: str
    ending: Ending
    grant: int | None = None


class _Grant(msgspec.Struct):
    number: int
    platform: str
    account_id: str
    revoked: bool = False
    loses: bool = False  # The next answer gets lost on its way.


class Providers:
    """All three of them, behind one port, told apart by their paths."""

    def __init__(self, clock: Clock) -> None:
        self.visits: list[Visit] = []
        self._clock = clock
        self._grants: list[_Grant] = []
        self._by_token: dict[str, _Grant] = {}
        self._spent: set[str] = set()  # Refresh tokens that were replaced.
        self._down: set[str] = set()
        self._throttled_until: dict[str, int] = defaultdict(int)

    def consent(self, platform: str, account_id: str) -> Tokens:
        """Return the tokens of a new grant: the user has said yes."""
        grant = _Grant(len(self._grants), platform, account_id)
        self._grants.append(grant)
        return self._issue(grant)

    def revoke(self, platform: str, account_id: str) -> None:
        """End every grant for an account: the user has said no."""
        for grant in self._of(platform, account_id):
            grant.revoked = True

    def lose_answer(self, platform: str, account_id: str) -> None:
        """Lose the next answer about an account, after acting on the request."""
        for grant in self._of(platform, account_id):
            grant.loses = True

    def fail(self, platform: str) -> None:
        """Answer 503 from now on."""
        self._down.add(platform)

    def recover(self, platform: str) -> None:
        """Answer again."""
        self._down.discard(platform)

    def throttle(self, platform: str, minutes: int) -> None:
        """Refuse everybody for some minutes, and say for how long."""
        self._throttled_until[platform] = self._clock.now() + minutes * MINUTE_MS

    def answer(self, path: str, form: Form) -> Reply | None:
        """Return what a token endpoint answers; None if the answer gets lost."""
        platform = path.strip("/")
        if platform not in PLATFORMS:
            return Reply(404, b"{}")
        now_ms = self._clock.now()
        token = form.get(_SENT_AS[platform], "")
        grant = self._by_token.get(token)
        ending = self._ending(platform, form, token, now_ms)
        known = None if grant is None else grant.number
        self.visits.append(Visit(now_ms, platform, ending, known))
        if grant is None or ending not in {"granted", "lost"}:
            return _REFUSALS[ending](platform, max(self._throttled_until[platform] - now_ms, 0))
        if platform == "tiktok":
            self._spent.add(token)
        reply = _granted(platform, self._issue(grant, token))
        grant.loses = False
        return None if ending == "lost" else reply

    def _ending(self, platform: str, form: Form, token: str, now_ms: int) -> Ending:
        if platform in self._down or now_ms < self._throttled_until[platform]:
            return "down" if platform in self._down else "throttled"
        client_id = form.get("client_key" if platform == "tiktok" else "client_id")
        if (client_id, form.get("client_secret")) != (CLIENT.client_id, CLIENT.client_secret):
            return "stranger"
        grant = self._by_token.get(token)
        if grant is None or grant.platform != platform:
            return "unknown"
        if token in self._spent:
            return "spent"
        if grant.revoked:
            return "dead"
        return "lost" if grant.loses else "granted"

    def _of(self, platform: str, account_id: str) -> Sequence[_Grant]:
        return [
            grant
            for grant in self._grants
            if (grant.platform, grant.account_id) == (platform, account_id)
        ]

    def _issue(self, grant: _Grant, sent: str | None = None) -> Tokens:
        access, refresh = _new_token(grant.platform, "access"), sent
        match grant.platform:
            case "facebook":
                refresh = None  # There are none: the access token itself is exchanged.
                self._by_token[access] = grant
            case "google" if sent is not None:
                pass  # It stays as it is.
            case "google" | "tiktok":
                refresh = _new_token(grant.platform, "refresh")
                self._by_token[refresh] = grant
            case _:
                refresh = None  # A key, or whatever else we never ask about.
        return Tokens(access, refresh)


def _new_token(platform: str, kind: str) -> str:
    return f"{MARK}{platform}-{kind}-{secrets.token_hex(16)}"


def _granted(platform: str, tokens: Tokens) -> Reply:
    body: dict[str, object] = {
        "access_token": tokens.access,
        "expires_in": LIFETIMES_S[platform],
        "token_type": "Bearer",
    }
    match platform:
        case "google":
            body["scope"] = "https://www.googleapis.com/auth/adwords"
        case "tiktok":
            body |= {
                "open_id": secrets.token_hex(8),
                "refresh_expires_in": 365 * 24 * 3600,
                "refresh_token": tokens.refresh,
                "scope": "user.info.basic",
            }
        case _:
            pass
    return _json(200, body)


def _dead(platform: str, _pause_ms: int) -> Reply:
    match platform:
        case "google":
            return _error(400, "invalid_grant", "Token has been expired or revoked.")
        case "facebook":
            text = "Error validating access token: The user has not authorized application 1."
            error = {"message": text, "type": "OAuthException", "code": 190, "error_subcode": 458}
            return _json(400, {"error": error})
        case _:
            return _error(200, "invalid_grant", "Refresh token is invalid or expired.")


def _throttled(platform: str, pause_ms: int) -> Reply:
    minutes = -(-pause_ms // MINUTE_MS)
    if platform == "facebook":
        error = {
            "message": "(#4) Application request limit reached",
            "type": "OAuthException",
            "code": 4,
        }
        use = {
            "type": "ads_management",
            "call_count": 100,
            "estimated_time_to_regain_access": minutes,
        }
        usage = msgspec.json.encode({"1": [use]}).decode()
        return _json(400, {"error": error}, {"X-Business-Use-Case-Usage": usage})
    return _json(429, {"error": "rate_limit_exceeded"}, {"Retry-After": str(minutes * 60)})


def _down(_platform: str, _pause_ms: int) -> Reply:
    return Reply(503, b"<html><title>Service Unavailable</title></html>", "text/html")


def _stranger(platform: str, _pause_ms: int) -> Reply:
    if platform == "facebook":
        error = {"message": "Error validating client secret.", "type": "OAuthException", "code": 1}
        return _json(400, {"error": error})
    status = 200 if platform == "tiktok" else 401
    return _error(status, "invalid_client", "The OAuth client was not found.")


_REFUSALS: Final = {
    "dead": _dead,
    "spent": _dead,
    "unknown": _dead,
    "throttled": _throttled,
    "down": _down,
    "stranger": _stranger,
}


def _error(status: int, code: str, description: str) -> Reply:
    return _json(status, {"error": code, "error_description": description})


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, msgspec.json.encode(body), headers=headers or {})
