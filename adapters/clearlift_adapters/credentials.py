"""The two encrypted columns of a connection, on their way between the store and the refresher.

Nothing here can decrypt, and nothing here imports what can: a store reads and writes these structs
without loading cryptography. SQLite keeps whatever it is given, so a column of this kind may
hold bytes that are no text; they are carried unchanged, for a compare-and-set must find them again.
"""

from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec

from clearlift_adapters.redacted import Redacted
from clearlift_engine.errors import CronWorkerError
from clearlift_engine.ports import SealedCredentials

Column = Literal["credentials_encrypted", "refresh_token_encrypted"]
Stored = str | bytes | None

IV_CHARS: Final = 16  # How an encrypted field begins: its iv in base64, which is never used twice.


class Seal(msgspec.Struct, frozen=True, array_like=True):
    """A proof, for who has the key, that a ciphertext belongs to a column of a connection."""

    connection_id: str
    column: Column
    seal: str


class Placed(NamedTuple):
    """An encrypted column, what it holds, and whether that stands in another place as well."""

    column: Column
    field: Stored
    copied: bool


class StoredCredentials(Redacted, frozen=True):
    """What `platform_connections` held when it was read, ciphertexts as they stood there."""

    connection_id: str
    access: Stored  # credentials_encrypted
    refresh: Stored  # refresh_token_encrypted
    reencrypted: str | None = None  # The pair that `keys rotate` wrote last, by `ciphertexts`,
    known_as: str | None = None  # and the fingerprint of the credentials that are in it.
    access_copied: bool = False  # It stands in another connection or column, too.
    refresh_copied: bool = False
    seals: tuple[Seal, ...] = ()  # All there are of ciphertexts that begin like one of these.

    @property
    def ciphertexts(self) -> str:
        """Return a name for this pair of ciphertexts: equal if and only if both are.

        Each column is hashed behind its type and its length, so that no two pairs run together.
        """
        digest = sha256(b"".join(_framed(column) for column in (self.access, self.refresh)))
        return f"sha256:{digest.hexdigest()[:32]}"

    @property
    def fingerprint(self) -> str:
        """Return the name of the credentials: it stays when they are only encrypted anew."""
        ciphertexts = self.ciphertexts
        known_as = self.known_as if self.reencrypted == ciphertexts else None
        return known_as or ciphertexts

    @property
    def columns(self) -> tuple[Placed, Placed]:
        """Return both columns."""
        return (
            Placed("credentials_encrypted", self.access, self.access_copied),
            Placed("refresh_token_encrypted", self.refresh, self.refresh_copied),
        )

    def __repr__(self) -> str:
        return f"StoredCredentials({self.connection_id!r}, {self.fingerprint})"


class StoredTokens(Redacted, frozen=True):
    """New ciphertexts, to be stored where those of `replaces` still stand, and nowhere else."""

    replaces: StoredCredentials
    access: str  # For credentials_encrypted.
    refresh: str | None  # For refresh_token_encrypted; None: leave what is there.
    expires_at: int | None  # Of the access token, ms; None: it does not expire.
    rotated: bool  # The refresh token is another one than before.
    refresh_expires_at: int | None = None  # Of the refresh token, ms, where the provider says it.
    access_seal: str | None = None  # None: not sealed.
    refresh_seal: str | None = None  # Of the refresh token that will be there: new or left.

    @property
    def connection_id(self) -> str:
        return self.replaces.connection_id

    @property
    def replaced_fingerprint(self) -> str:
        return self.replaces.ciphertexts

    @property
    def refresh_after(self) -> Stored:
        """Return what refresh_token_encrypted will hold."""
        return self.replaces.refresh if self.refresh is None else self.refresh

    def fit(self, stored: SealedCredentials) -> bool:
        """Return whether `stored` holds the very ciphertexts that these replace."""
        assert isinstance(stored, StoredCredentials), "credentials come from our own stores"
        old = self.replaces
        return (stored.access, stored.refresh) == (old.access, old.refresh)

    def are_in(self, stored: SealedCredentials) -> bool:
        """Return whether `stored` holds these very tokens; no two encryptions are the same."""
        assert isinstance(stored, StoredCredentials), "credentials come from our own stores"
        return stored.access == self.access

    def __repr__(self) -> str:
        return f"StoredTokens(for {self.connection_id!r}, rotated={self.rotated})"


class FieldError(CronWorkerError):
    """An encrypted column cannot be opened. It is named; what it holds is not."""

    def __init__(self, connection_id: str, column: Column, reason: str) -> None:
        super().__init__(f"{column} of connection {connection_id!r} {reason}")
        self.connection_id, self.column, self.reason = connection_id, column, reason


class MalformedFieldError(FieldError):
    """It does not have the form of an encrypted field, whatever the key."""


class UndecryptableFieldError(FieldError):
    """It has the form, and none of our keys opens it: another key's, or tampered with."""

    def __init__(self, connection_id: str, column: Column) -> None:
        super().__init__(connection_id, column, "opens with none of our keys")


class CopiedFieldError(FieldError):
    """It opens, and the same ciphertext stands in another connection or column, too."""

    def __init__(self, connection_id: str, column: Column) -> None:
        super().__init__(connection_id, column, "is a copy of what stands in another place")


class MisplacedFieldError(FieldError):
    """It opens, and a seal of ours says that it belongs to another connection or column."""

    def __init__(self, connection_id: str, column: Column) -> None:
        super().__init__(connection_id, column, "was written for another place")


def iv_of(field: Stored) -> str | None:
    """Return how a ciphertext begins, by which seals and copies are found."""
    return field[:IV_CHARS] if isinstance(field, str) and field else None


def _framed(column: Stored) -> bytes:
    match column:
        case None:
            return b"none;"
        case str():
            raw = column.encode("utf-8", "surrogatepass")
            return b"text:%d;%b" % (len(raw), raw)
        case bytes():
            return b"blob:%d;%b" % (len(column), column)
