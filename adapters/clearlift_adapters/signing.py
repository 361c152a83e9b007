"""The key that seals are signed with, Ed25519, and those that they are checked with.

The signing key is 32 random bytes in base64 and is a secret. Each seal names its public key, which
is not believed for that: a seal counts if its key is one of those that the verifier was given.

Import this module only where something is signed or checked: cryptography takes 35 ms to load.
"""

import binascii
import os
from base64 import b64encode
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from clearlift_adapters.durable import sync_folder
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.seals import Seal

KEY_BYTES: Final = 32
SIGNING_KEY: Final = "AUDIT_SIGNING_KEY"
PUBLIC_KEY: Final = "AUDIT_PUBLIC_KEY"
_MAKE_ONE: Final = "make one with `clearlift-cron audit keygen --out FILE`"


class Signer:
    """The signing key."""

    def __init__(self, text: str) -> None:
        """Take the key in base64.

        Raises:
            ConfigurationError: it is not base64 of 32 bytes.
        """
        self._key = Ed25519PrivateKey.from_private_bytes(_key_in(text, SIGNING_KEY))
        self.public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Signer({public_text(self.public)})"

    def signed(self, seal: Seal) -> Seal:
        """Return a seal with its signature."""
        return replace(seal, signature=self._key.sign(seal.statement))


class Verifier:
    """The public keys that are trusted."""

    def __init__(self, keys: Collection[bytes]) -> None:
        self._keys = {key: Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def objection(self, seal: Seal) -> str | None:
        """Return why the signature of a seal does not count; None if it does."""
        key = self._keys.get(seal.key)
        if key is None:
            return f"is signed with the key {public_text(seal.key)[:44]}, which is not trusted"
        try:
            key.verify(seal.signature, seal.statement)
        except InvalidSignature:
            return "is not what was signed"
        return None


def public_keys(text: str) -> list[bytes]:
    """Return the public keys in a list of them with commas between.

    Raises:
        ConfigurationError: one of them is not base64 of 32 bytes.
    """
    return [_key_in(part, PUBLIC_KEY) for part in text.split(",") if part.strip()]


def public_text(key: bytes) -> str:
    """Return a public key as it is printed and set."""
    return b64encode(key).decode()


def make_key(file: Path) -> bytes:
    """Write a new signing key to a file that only its owner can read; return the public key.

    Raises:
        ConfigurationError: the file is there already, or cannot be made.
    """
    seed = os.urandom(KEY_BYTES)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(b64encode(seed) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        sync_folder(file.parent)
    except FileExistsError:
        raise ConfigurationError(
            f"{file} is there already and is left alone: name a new file, and keep the old one as "
            "long as somebody may seal with it"
        ) from None
    except OSError as exc:
        raise ConfigurationError(f"cannot write the key to {file}: {exc.strerror}") from exc
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _key_in(text: str, setting: str) -> bytes:
    try:
        key = binascii.a2b_base64(text.strip(), strict_mode=True)
    except ValueError:  # binascii.Error is one; so is a character outside ASCII.
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{setting} is not base64 of {KEY_BYTES} bytes; {_MAKE_ONE}")
    return key
