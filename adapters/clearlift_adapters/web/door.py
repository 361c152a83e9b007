"""Who may ask a served page for what. Pure functions over a request.

Bound to loopback, whoever can run a program on this machine may look. But a browser on this machine
runs programs of strangers: a page of theirs can send requests here, and if their name points to
127.0.0.1 it can read the answers. Their requests give them away by the Host header, and by
Sec-Fetch-Site where they are meant to do something rather than to be read.

Bound to anything else, or if a token is set, every request but the two probes needs the token: as a
bearer token, or as the password of any user, which is what a browser asks its user for.
"""

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

PROBES: Final = ("/healthz", "/readyz")
TICK: Final = "/__scheduled"
TOKEN_CHARS_MIN: Final = 16
MAKE_ONE: Final = "openssl rand -hex 32"

_SENDABLE: Final = re.compile("[!-~]+")  # What every client can put into a header as it is.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is not answered."""

    status: int
    why: str


def is_loopback(host: str) -> bool:
    """Return whether a name or an address always means this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def token_problem(token: str) -> str | None:
    """Return what is wrong with a token, None if it will do."""
    if len(token) < TOKEN_CHARS_MIN:
        return f"CLEARLIFT_SERVE_TOKEN has less than {TOKEN_CHARS_MIN} characters"
    if _SENDABLE.fullmatch(token) is None:
        return (
            "CLEARLIFT_SERVE_TOKEN has characters that no header can carry (spaces, line feeds, or "
            "others than ASCII), so that nobody could be let in"
        )
    return None


class Door(msgspec.Struct, frozen=True):
    """Where it is bound to, and the token, if there is one."""

    host: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Door({self.host!r}, token={'set' if self.token else 'none'})"

    def refusal(self, path: str, headers: Mapping[str, str], peer: str | None) -> Refusal | None:
        """Return why this request is refused, None if it is not; `headers` are in lower case."""
        if path in PROBES:
            return None
        if self.token is not None and not _holds(headers.get("authorization", ""), self.token):
            return Refusal(401, "a token is needed: Authorization: Bearer CLEARLIFT_SERVE_TOKEN")
        local = is_loopback(self.host)
        if local and not _names_loopback(headers.get("host", "")):
            return Refusal(421, "this address answers for localhost only")
        if path == TICK:
            return self._about_tick(headers, peer, local=local)
        return None

    def _about_tick(
        self, headers: Mapping[str, str], peer: str | None, *, local: bool
    ) -> Refusal | None:
        if not local:
            return Refusal(403, "ticks are run from loopback only, and this is bound elsewhere")
        if peer is None or not is_loopback(peer):
            return Refusal(403, "ticks are run from loopback only")
        if any(name in headers for name in _FORWARDED):
            return Refusal(403, "ticks are not run for a proxy")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Refusal(403, "ticks are not run for another site's page")
        if not all(_is_here(headers[name]) for name in ("origin", "referer") if name in headers):
            return Refusal(403, "ticks are not run for another site's page")
        return None


def _names_loopback(authority: str) -> bool:
    """Return whether a Host header, with a port or without, names this machine."""
    try:
        host = urlsplit(f"//{authority}").hostname
    except ValueError:
        return False
    return host is not None and "@" not in authority and is_loopback(host)


def _is_here(url: str) -> bool:
    try:
        return _names_loopback(urlsplit(url).netloc)
    except ValueError:
        return False


def _holds(authorization: str, token: str) -> bool:
    """Return whether a header carries the token; it takes as long whatever the header is."""
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
