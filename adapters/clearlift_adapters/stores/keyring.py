"""Every encrypted column there is, for whoever changes the key: read in pages, replaced in batches.

A replacement is a compare-and-set, each connection on its own, so that it may race with a tick and
with the API worker: whoever of them was first is left alone.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from clearlift_adapters.credentials import StoredCredentials, iv_of
from clearlift_adapters.redacted import Redacted
from clearlift_adapters.stores.operation import SqliteVault
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.sql import Database, Value

_SQL: Final = load("keys.sql")
_IDS: Final = bind(_SQL, "ids", "after", "limit")
_OLD: Final = ("old_access", "old_refresh")
_RENAME: Final = bind(
    _SQL,
    "rename",
    "connection_id",
    "access_iv",
    "access_seal",
    "refresh_iv",
    "refresh_seal",
    "ciphertexts",
    "known_as",
    *_OLD,
)
_REENCRYPT: Final = bind(_SQL, "reencrypt", "connection_id", "access", "refresh", *_OLD)


class Reencrypted(Redacted, frozen=True):
    """The ciphertexts of one connection, anew; None: that column stays as it is."""

    replaces: StoredCredentials
    access: str | None
    refresh: str | None
    access_seal: str | None  # Of what will be there.
    refresh_seal: str | None

    @property
    def connection_id(self) -> str:
        return self.replaces.connection_id

    @property
    def result(self) -> StoredCredentials:
        """Return what will be there."""
        old = self.replaces
        return StoredCredentials(
            old.connection_id, self.access or old.access, self.refresh or old.refresh
        )


class SqliteKeyring:
    """The encrypted columns of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._vault = SqliteVault(db)

    async def pages(self, size: int) -> AsyncIterator[Sequence[StoredCredentials]]:
        """Yield the credentials of all connections in the order of their ids, `size` at a time."""
        after = ""
        while rows := await self._db.read(_IDS, after, size):
            after = rows[-1][0]
            yield await self._vault.credentials([row[0] for row in rows])

    async def replace(self, changes: Sequence[Reencrypted]) -> Sequence[StoredCredentials]:
        """Put the new ciphertexts over those that they replace, in one transaction.

        Return what stands now where another was first: those of it that are there still.
        """
        renames = [_renamed(each) for each in changes]
        await self._db.write([(_RENAME, renames), (_REENCRYPT, [_row(each) for each in changes])])
        wanted = {each.connection_id: each.result.ciphertexts for each in changes}
        found = await self._vault.credentials(list(wanted))
        return [each for each in found if each.ciphertexts != wanted[each.connection_id]]


def _renamed(change: Reencrypted) -> Sequence[Value]:
    old, new = change.replaces, change.result
    return (
        change.connection_id,
        None if change.access_seal is None else iv_of(new.access),
        change.access_seal,
        None if change.refresh_seal is None else iv_of(new.refresh),
        change.refresh_seal,
        new.ciphertexts,
        old.fingerprint,
        old.access,
        old.refresh,
    )


def _row(change: Reencrypted) -> Sequence[Value]:
    old = change.replaces
    return (change.connection_id, change.access, change.refresh, old.access, old.refresh)
