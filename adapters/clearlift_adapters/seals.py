"""Whose ciphertext is it? The format of the encrypted columns does not say; a seal does.

A seal is HMAC-SHA-256, in hex, over a connection, a column and a ciphertext, under a key that HKDF
derives from the encryption key. The worker seals both columns of a connection whenever it writes
tokens, so that of everything it has written or used it can tell later where it belongs.

A seal that does not fit is no proof of anything: whoever can write the database can also delete it.
What counts is a seal that fits, and says that this very ciphertext belongs elsewhere. One without
a seal is accepted: the API worker makes none, and whenever a user reconnects it writes new ones.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clearlift_adapters.credentials import (
    Column,
    CopiedFieldError,
    FieldError,
    MisplacedFieldError,
    Placed,
    StoredCredentials,
)

_PURPOSE: Final = b"clearlift credential seal, version 1"


class SealKeys:
    """Makes seals under the newest key; believes those of all."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [_derived(key) for key in keys]

    def __repr__(self) -> str:
        return f"SealKeys({len(self._keys)})"

    def seal(self, field: str, *, connection_id: str, column: Column) -> str:
        """Return the proof that `field` was written or used in this place."""
        return _seal(self._keys[0], field, connection_id, column)

    def fits(self, seal: str, field: str, *, connection_id: str, column: Column) -> bool:
        """Return whether `seal` was made for `field` in this place, with one of our keys."""
        return any(
            hmac.compare_digest(_seal(key, field, connection_id, column).encode(), seal.encode())
            for key in self._keys
        )

    def misplaced(self, stored: StoredCredentials) -> FieldError | None:
        """Return what is wrong with the place of a ciphertext, if anything is."""
        faults = (self.fault(stored, placed) for placed in stored.columns)
        return next((fault for fault in faults if fault is not None), None)

    def fault(self, stored: StoredCredentials, placed: Placed) -> FieldError | None:
        """Return what is wrong with the place of one ciphertext, if anything is."""
        column, field, copied = placed
        if not isinstance(field, str) or not field:
            return None
        if copied:
            return CopiedFieldError(stored.connection_id, column)
        if self._belongs_elsewhere(stored, column, field):
            return MisplacedFieldError(stored.connection_id, column)
        return None

    def _belongs_elsewhere(self, stored: StoredCredentials, column: Column, field: str) -> bool:
        here = (stored.connection_id, column)
        fitting = {
            (each.connection_id, each.column)
            for each in stored.seals
            if self.fits(each.seal, field, connection_id=each.connection_id, column=each.column)
        }
        return bool(fitting) and here not in fitting


def _derived(key: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(key)


def _seal(key: bytes, field: str, connection_id: str, column: Column) -> str:
    # Each behind its length, so that no two places run together.
    parts = [text.encode("utf-8", "surrogatepass") for text in (connection_id, column, field)]
    framed = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return hmac.new(key, framed, sha256).hexdigest()
