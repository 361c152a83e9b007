"""Which key opens what is stored, and the same under today's key.

A ciphertext that is not in its place is not encrypted anew: a new ciphertext with a new seal would
make it look like this connection's own.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.credentials import (
    Column,
    CopiedFieldError,
    MalformedFieldError,
    MisplacedFieldError,
    Placed,
    StoredCredentials,
    UndecryptableFieldError,
)
from clearlift_adapters.stores.keyring import Reencrypted

# current, previous: the key that opens it. none: no key of ours does.
Standing = Literal["current", "previous", "none", "malformed", "copied", "misplaced"]


class Examined(NamedTuple):
    """How an encrypted column stands, and if a previous key opens it, its text under today's."""

    column: Column
    standing: Standing
    renewed: str | None = None


def examined(cipher: FieldCipher, stored: StoredCredentials) -> Sequence[Examined]:
    """Return how each column stands that holds anything."""
    return [_examined(cipher, stored, placed) for placed in stored.columns if placed.field]


def _examined(cipher: FieldCipher, stored: StoredCredentials, placed: Placed) -> Examined:
    column, field, _ = placed
    assert field is not None
    try:
        renewed = cipher.renewed(field, connection_id=stored.connection_id, column=column)
    except MalformedFieldError:
        return Examined(column, "malformed")
    except UndecryptableFieldError:
        return Examined(column, "none")
    match cipher.seals.fault(stored, placed):
        case CopiedFieldError():
            return Examined(column, "copied")
        case MisplacedFieldError():
            return Examined(column, "misplaced")
        case _:
            return Examined(column, "current" if renewed is None else "previous", renewed)


def reencrypted(
    cipher: FieldCipher, stored: StoredCredentials, columns: Sequence[Examined]
) -> Reencrypted | None:
    """Return what `keys rotate` has to write about one connection; None if nothing."""
    renewed = {each.column: each.renewed for each in columns if each.renewed is not None}
    if not renewed:
        return None
    sound = {each.column for each in columns if each.standing in ("current", "previous")}
    seals = {
        column: cipher.seals.seal(text, connection_id=stored.connection_id, column=column)
        for column, field, _ in stored.columns
        if column in sound and isinstance(text := renewed.get(column, field), str)
    }
    return Reencrypted(
        stored,
        renewed.get("credentials_encrypted"),
        renewed.get("refresh_token_encrypted"),
        seals.get("credentials_encrypted"),
        seals.get("refresh_token_encrypted"),
    )
