"""Secrets that are easy to find again, and a search for them in every spelling they may have.

Each holds characters that a URL, a form and JSON write differently, so that none of these hides it.
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from json import dumps
from typing import Final
from urllib.parse import quote, quote_plus

KEY_BYTES: Final = bytes(range(200, 232))
OTHER_KEY_BYTES: Final = bytes(range(100, 132))
KEY: Final = b64encode(KEY_BYTES).decode()
OTHER_KEY: Final = b64encode(OTHER_KEY_BYTES).decode()

CLIENT_SECRETS: Final[Mapping[str, str]] = {
    "GOOGLE_CLIENT_SECRET": "GOCSPX-canary+google/secret=",
    "FACEBOOK_APP_SECRET": "canary+facebook/secret=",
    "TIKTOK_APP_SECRET": "canary+tiktok/secret=",
    "ACME_CLIENT_SECRET": "canary+acme/secret=",
}


def access_token(name: str) -> str:
    return f"ya29.canary+access/of={name}=="


def refresh_token(name: str) -> str:
    return f"1//canary+refresh/of={name}=="


def spellings(secret: bytes) -> Iterator[bytes]:
    """Yield how `secret` looks in what a program writes."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):  # Inside a longer text in base64, it begins at any of three places.
        for encode in (b64encode, urlsafe_b64encode):
            encoded = encode(bytes(shift) + secret).rstrip(b"=")
            yield encoded[shift + (shift > 0) : -1]
    if secret.isascii():
        text = secret.decode()
        yield from (quote(text, safe="").encode(), quote_plus(text).encode())
        yield from (dumps(text)[1:-1].encode(), dumps(text)[1:-1].replace("/", "\\/").encode())


def found_in(text: bytes, secrets: Iterable[bytes]) -> list[bytes]:
    """Return which of the secrets are in `text`, in whatever spelling."""
    return [secret for secret in secrets if any(spelling in text for spelling in spellings(secret))]
