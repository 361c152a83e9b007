"""The encrypted columns: AES-256-GCM, in the text form that the API worker reads and writes.

    base64(iv):base64(ciphertext):base64(tag)      12-byte random iv, 16-byte tag, no further data

Import this module only where a field has to be opened: cryptography takes 35 ms to load, and
most ticks of a quiet night need none of it.

base64 is read strictly. Python's decoder alone lets through white space, a lacking pad, the
URL-safe alphabet or stray bits in the last character, depending on its flags; here a part must be,
character for character, what encoding its bytes gives. So a field has exactly one spelling, and two
fields differ if and only if their texts do.
"""

import binascii
from base64 import b64encode
from collections.abc import Sequence
from os import urandom
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clearlift_adapters.credentials import (
    Column,
    MalformedFieldError,
    UndecryptableFieldError,
)
from clearlift_adapters.seals import SealKeys
from clearlift_engine.errors import ConfigurationError

KEY_BYTES: Final = 32
IV_BYTES: Final = 12
TAG_BYTES: Final = 16
_PARTS: Final = 3


class FieldCipher:
    """Seals with ENCRYPTION_KEY; opens with it and with each of ENCRYPTION_KEY_PREVIOUS."""

    def __init__(self, key: str, previous_keys: Sequence[str] = ()) -> None:
        """Take the keys in base64, the newest first.

        Raises:
            ConfigurationError: one of them is not base64 of 32 bytes; it names the setting only.
        """
        keys = [_key(key, "ENCRYPTION_KEY")]
        keys += [_key(text, "ENCRYPTION_KEY_PREVIOUS") for text in previous_keys]
        self._opening = [AESGCM(raw) for raw in keys]
        self._sealing = self._opening[0]
        self.seals = SealKeys(keys)

    def __repr__(self) -> str:
        return f"FieldCipher({len(self._opening)} keys)"

    def seal(self, plaintext: str) -> str:
        """Return `plaintext` encrypted under ENCRYPTION_KEY, never twice to the same text."""
        iv = urandom(IV_BYTES)
        sealed = self._sealing.encrypt(iv, plaintext.encode(), None)
        parts = (iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
        return ":".join(b64encode(part).decode() for part in parts)

    def open(self, field: str | bytes, *, connection_id: str, column: Column) -> str:
        """Return the plaintext of `field`.

        Raises:
            MalformedFieldError: it is not of the form above, or its plaintext is not text.
            UndecryptableFieldError: none of the keys opens it.
        """
        return self._opened(field, connection_id, column)[0]

    def renewed(self, field: str | bytes, *, connection_id: str, column: Column) -> str | None:
        """Return `field` encrypted under ENCRYPTION_KEY; None if that is how it is.

        Raises:
            MalformedFieldError, UndecryptableFieldError: as `open` does.
        """
        text, key = self._opened(field, connection_id, column)
        return None if key is self._sealing else self.seal(text)

    def _opened(self, field: str | bytes, connection_id: str, column: Column) -> tuple[str, AESGCM]:
        parts = _parts(field)
        if parts is None:
            raise MalformedFieldError(connection_id, column, "is malformed")
        iv, ciphertext, tag = parts
        for key in self._opening:
            try:
                plaintext = key.decrypt(iv, ciphertext + tag, None)
            except InvalidTag:
                continue
            text = _text(plaintext)
            if text is None:
                raise MalformedFieldError(connection_id, column, "is malformed inside")
            return text, key
        raise UndecryptableFieldError(connection_id, column)


def _key(text: str, setting: str) -> bytes:
    key = _decoded(text)
    if key is None:
        raise ConfigurationError(f"{setting} is not base64; {_REMEDY}")
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{setting} is {len(key)} bytes long, not {KEY_BYTES}; {_REMEDY}")
    return key


_REMEDY: Final = (
    "it must be the key that the API worker encrypts with"
    " (for a new installation: openssl rand -base64 32)"
)


def _parts(field: str | bytes) -> tuple[bytes, bytes, bytes] | None:
    if isinstance(field, bytes) or field.count(":") != _PARTS - 1:
        return None
    iv, ciphertext, tag = (_decoded(part) for part in field.split(":"))
    if iv is None or ciphertext is None or tag is None:
        return None
    return (iv, ciphertext, tag) if (len(iv), len(tag)) == (IV_BYTES, TAG_BYTES) else None


def _decoded(text: str) -> bytes | None:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one; so is a character outside ASCII.
        return None
    return raw if b64encode(raw).decode() == text else None


def _text(plaintext: bytes) -> str | None:
    # None, not an error raised here: a UnicodeDecodeError carries the bytes, and whatever is raised
    # while it is being handled carries it in turn.
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        return None
