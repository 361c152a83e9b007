"""What goes to a token endpoint and what comes back, without the library that carries it."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from clearlift_adapters.redacted import Redacted
from clearlift_engine.errors import ConfigurationError

# Of one request, from the call to the last byte of its answer; a lease must outlast two of them.
DEADLINE_MS: Final = 10_000
# A request that has not left by then never does: its slot in the provider's pace has gone by.
SEND_WITHIN_MS: Final = DEADLINE_MS // 2

LostKind = Literal["unsent", "unreachable", "tls", "proxy", "timeout", "broken"]


class Endpoint(Redacted, frozen=True):
    """A URL that may be sent secrets: https, or plain http to this very machine.

    It can only be made by passing the check, so whoever holds one need not check again.
    """

    url: str
    setting: str  # What the URL is configured with, to name it when it is wrong.

    def __post_init__(self) -> None:
        reason = _unfit(self.url)
        if reason is not None:
            raise ConfigurationError(f"{self.setting} {reason}")

    def __repr__(self) -> str:
        return f"Endpoint({self.setting})"


class TokenRequest(Redacted, frozen=True):
    """A form on its way to a token endpoint."""

    endpoint: Endpoint
    form: Mapping[str, str]
    headers: Mapping[str, str] = {}


class Answer(Redacted, frozen=True):
    """What a provider answered, whatever its status. `body` is already decoded, and short."""

    status: int
    headers: Mapping[str, str]  # Names in lower case; only those that a verdict may depend on.
    body: bytes
    latency_ms: int = 0
    flaw: str | None = None  # Why `body` is empty although there was one.

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


class Lost(msgspec.Struct, frozen=True):
    """No answer. `detail` is our own wording, never an exception's."""

    kind: LostKind
    ambiguous: bool  # The request may have reached the provider.
    detail: str
    latency_ms: int = 0


def _unfit(url: str) -> str | None:
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return "is not a URL"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "is not an https URL"
    if parts.username is not None or parts.password is not None:
        return "has a user name in it; credentials have settings of their own"
    if parts.scheme == "http" and not _is_loopback(host):
        return "is plain http to another machine; only https may carry tokens"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
