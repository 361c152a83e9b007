"""The connections themselves, for whoever has no API worker: a laptop, a test, an operator.

Only what the API worker would write is written here, and `connection_settings`, which is ours.
Tokens come in encrypted and do not come out at all.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from clearlift_adapters.redacted import Redacted
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.sql import Database, RefusedError
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.machine import State

_SQL: Final = load("connections.sql")
_ADD_ORGANIZATION: Final = bind(_SQL, "add_organization", "organization_id")
_IDENTITY: Final = ("organization_id", "platform", "account_id")
_GRANT: Final = (
    "account_name",
    "connected_by",
    "connected_at",
    "access",
    "refresh",
    "expires_at",
    "scopes",
)
_RECONNECT: Final = bind(_SQL, "reconnect", *_IDENTITY, *_GRANT)
_ADD: Final = bind(_SQL, "add", *_IDENTITY, *_GRANT, "id")
_HELD: Final = bind(_SQL, "held", *_IDENTITY)
_IDENTIFY: Final = bind(_SQL, "identify", *_IDENTITY)
_PAGE: Final = bind(_SQL, "page", "after", "limit")
_SHOW: Final = bind(_SQL, "show", "id")
_SET_INTERVAL: Final = bind(_SQL, "set_interval", "id", "interval_s")
_UNSET_INTERVAL: Final = bind(_SQL, "unset_interval", "id")

PAGE: Final = 500  # Connections in memory at a time.


class Grant(Redacted, frozen=True):
    """What a user's consent brings: an account, and its tokens, already encrypted.

    The fields stand in the order in which the statements take them.
    """

    organization_id: str
    platform: str
    account_id: str
    account_name: str | None
    connected_by: str
    connected_at: str
    access: str
    refresh: str | None
    expires_at: str | None
    scopes: str | None  # JSON array.

    @property
    def connection_id(self) -> str:
        """Return the id that the API worker would give it."""
        return f"{self.organization_id}-{self.platform}-{self.account_id}"


class Kept(NamedTuple):
    """A grant that was stored: under which id, and what is gone that stood there before."""

    connection_id: str
    outcome: Literal["added", "reconnected"]
    lost_refresh_token: bool
    lost_expiry: bool


class ConnectionRow(msgspec.Struct, frozen=True):
    """A connection as its columns say it, odd values included, and where its stream stands."""

    ref: int  # For Store.candidates.
    id: str
    organization_id: str
    platform: str
    account_id: str
    account_name: str | None
    connected_by: str
    connected_at: str | None
    last_synced_at: str | None
    sync_status: str | None
    sync_error: str | None
    is_active: int | None
    expires_at: str | None
    scopes: str | None
    has_access_token: int
    has_refresh_token: int
    interval_s: int | None  # Its own; None: the schedule's.
    state: State | None  # None: no tick has seen it yet.
    version: int | None
    changed_at: int | None  # ms
    job_id: str | None
    retry_at: int | None  # ms
    failures: int | None


class SqliteConnections:
    """The connections in one SQLite file."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, grant: Grant) -> Kept:
        """Store a grant under a new connection, or in the place of the one it had before.

        Its organization is created if there is none. A grant replaces the one before as a whole:
        an old refresh token or expiry is of no use to a new access token.

        Raises:
            ConfigurationError: the database will not have it.
        """
        row = msgspec.structs.astuple(grant)
        before = await self._db.read(_HELD, *row[: len(_IDENTITY)])
        had_refresh, had_expiry = before[0] if before else (0, 0)
        try:
            _, reconnected, _ = await self._db.write(
                [
                    (_ADD_ORGANIZATION, [(grant.organization_id,)]),
                    (_RECONNECT, [row]),
                    (_ADD, [(*row, grant.connection_id)]),
                ]
            )
        except RefusedError as exc:
            raise ConfigurationError(
                f"the database refuses {grant.connection_id!r}: {exc}; if it is about the "
                "organization, create that first where it belongs"
            ) from exc
        [(connection_id,)] = await self._db.read(_IDENTIFY, *row[: len(_IDENTITY)])
        return Kept(
            connection_id,
            "reconnected" if reconnected else "added",
            lost_refresh_token=bool(had_refresh) and grant.refresh is None,
            lost_expiry=bool(had_expiry) and grant.expires_at is None,
        )

    async def pages(self) -> AsyncIterator[Sequence[ConnectionRow]]:
        """Yield all connections in the order of their ids, some at a time."""
        after = ""
        while rows := await self._db.read(_PAGE, after, PAGE):
            yield [ConnectionRow(*row) for row in rows]
            after = rows[-1][1]

    async def show(self, connection_id: str) -> ConnectionRow | None:
        """Return one connection."""
        rows = await self._db.read(_SHOW, connection_id)
        return ConnectionRow(*rows[0]) if rows else None

    async def set_interval(self, connection_id: str, interval_s: int | None) -> None:
        """Give a connection an interval of its own; None: the schedule's again."""
        if interval_s is None:
            await self._db.write([(_UNSET_INTERVAL, [(connection_id,)])])
        else:
            await self._db.write([(_SET_INTERVAL, [(connection_id, interval_s)])])
