"""The two encrypted columns of a connection, on their way between the store and the refresher.

Nothing here can decrypt, and nothing here imports what can: a store reads and writes these structs
without loading cryptography. SQLite keeps whatever it is given, so a column of this kind may
hold bytes that are no text; they are carried unchanged, for a compare-and-set must find them again.
"""

from hashlib import sha256
from typing import Literal

from clearlift_adapters.redacted import Redacted
from clearlift_engine.errors import CronWorkerError
from clearlift_engine.ports import SealedCredentials

Column = Literal["credentials_encrypted", "refresh_token_encrypted"]
Stored = str | bytes | None


class StoredCredentials(Redacted, frozen=True):
    """What `platform_connections` held when it was read, ciphertexts as they stood there."""

    connection_id: str
    access: Stored  # credentials_encrypted
    refresh: Stored  # refresh_token_encrypted

    @property
    def fingerprint(self) -> str:
        """Return a name for this pair of ciphertexts: equal if and only if both are.

        Each column is hashed behind its type and its length, so that no two pairs run together.
        """
        digest = sha256(b"".join(_framed(column) for column in (self.access, self.refresh)))
        return f"sha256:{digest.hexdigest()[:32]}"

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

    @property
    def connection_id(self) -> str:
        return self.replaces.connection_id

    @property
    def replaced_fingerprint(self) -> str:
        return self.replaces.fingerprint

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


def _framed(column: Stored) -> bytes:
    match column:
        case None:
            return b"none;"
        case str():
            raw = column.encode("utf-8", "surrogatepass")
            return b"text:%d;%b" % (len(raw), raw)
        case bytes():
            return b"blob:%d;%b" % (len(column), column)
