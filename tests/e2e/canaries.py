"""Secrets that are easy to find again, and a search for them in every spelling they may have.

Each holds characters that a URL, a form and JSON write differently, so that none of these hides it.
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from json import dumps
from typing import Final
from urllib.parse import quote, quote_plus

# Bytes in a row would do for a file, but the memory of a process is full of tables of those.
KEY_BYTES: Final = sha256(b"canary: key").digest()
OTHER_KEY_BYTES: Final = sha256(b"canary: other key").digest()
PREVIOUS_KEY_BYTES: Final = sha256(b"canary: previous key").digest()
SIGNING_KEY_BYTES: Final = sha256(b"canary: signing key").digest()
KEY: Final = b64encode(KEY_BYTES).decode()
OTHER_KEY: Final = b64encode(OTHER_KEY_BYTES).decode()
PREVIOUS_KEY: Final = b64encode(PREVIOUS_KEY_BYTES).decode()
SIGNING_KEY: Final = b64encode(SIGNING_KEY_BYTES).decode()
API_TOKEN: Final = "canary+cloudflare/api-token="
SERVE_TOKEN: Final = "canary+serve/token-of-enough-characters="

CLIENT_SECRETS: Final[Mapping[str, str]] = {
    "GOOGLE_CLIENT_SECRET": "GOCSPX-canary+google/secret=",
    "FACEBOOK_APP_SECRET": "canary+facebook/secret=",
    "TIKTOK_APP_SECRET": "canary+tiktok/secret=",
    "ACME_CLIENT_SECRET": "canary+acme/secret=",
}
# Nobody is there. What makes such a URL a secret is its path.
RECEIVERS: Final[Mapping[str, str]] = {
    "CLEARLIFT_PING_URL": "http://127.0.0.1:9/canary+ping/path=",
    "CLEARLIFT_SENTRY_CRON_URL": "http://127.0.0.1:9/canary+sentry/path=",
    "CLEARLIFT_SLACK_WEBHOOK_URL": "http://127.0.0.1:9/canary+slack/path=",
}
# Every secret that can be set.
SETTINGS: Final[Mapping[str, str]] = {
    "ENCRYPTION_KEY": KEY,
    "ENCRYPTION_KEY_PREVIOUS": PREVIOUS_KEY,
    "AUDIT_SIGNING_KEY": SIGNING_KEY,
    "CLOUDFLARE_API_TOKEN": API_TOKEN,
    "CLEARLIFT_SERVE_TOKEN": SERVE_TOKEN,
    **CLIENT_SECRETS,
    **RECEIVERS,
}
SET: Final[frozenset[bytes]] = frozenset(
    {
        *(KEY_BYTES, OTHER_KEY_BYTES, PREVIOUS_KEY_BYTES, SIGNING_KEY_BYTES),
        *(text.encode() for text in (*SETTINGS.values(), OTHER_KEY)),
        *(url.rpartition(":9/")[2].encode() for url in RECEIVERS.values()),
    }
)

Spell = Callable[[bytes], Iterable[bytes]]


def access_token(name: str) -> str:
    return f"ya29.canary+access/of={name}=="


def refresh_token(name: str) -> str:
    return f"1//canary+refresh/of={name}=="


def _within(encode: Callable[[bytes], bytes]) -> Spell:
    """Return the three ways in which a text looks in base64 inside of a longer one."""

    def spell(secret: bytes) -> Iterator[bytes]:
        for shift in range(3):
            yield encode(bytes(shift) + secret).rstrip(b"=")[shift + (shift > 0) : -1]

    return spell


def _as_text(*encodes: Callable[[str], bytes]) -> Spell:
    """Return what spells texts; bytes that are none have no such spelling."""

    def spell(secret: bytes) -> Iterator[bytes]:
        if secret.isascii():
            yield from (encode(secret.decode()) for encode in encodes)

    return spell


# How a program writes what it should not write.
ENCODINGS: Final[Mapping[str, Spell]] = {
    "UTF-8": lambda secret: [secret],
    "UTF-16, little end first": _as_text(lambda text: text.encode("utf-16-le")),
    "UTF-16, big end first": _as_text(lambda text: text.encode("utf-16-be")),
    "base64": _within(b64encode),
    "base64 for URLs": _within(urlsafe_b64encode),
    "hex": lambda secret: [secret.hex().encode()],
    "HEX": lambda secret: [secret.hex().upper().encode()],
    "percent": lambda secret: [quote(secret, safe="").encode(), quote_plus(secret).encode()],
    "JSON": _as_text(
        lambda text: dumps(text)[1:-1].encode(),
        lambda text: dumps(text)[1:-1].replace("/", "\\/").encode(),
    ),
}


def spellings(secret: bytes) -> Iterator[bytes]:
    """Yield how `secret` looks in what a program writes."""
    for spell in ENCODINGS.values():
        yield from spell(secret)


def found_in(text: bytes, secrets: Iterable[bytes]) -> list[bytes]:
    """Return which of the secrets are in `text`, in whatever spelling."""
    return [
        secret for secret in secrets if any(spelling in text for spelling in {*spellings(secret)})
    ]
