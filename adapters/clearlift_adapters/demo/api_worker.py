"""The API worker's side of the shared tables: users connect, connect again and leave.

It is another program, so it has its own view of the database and knows nothing of the cron worker.
"""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from os import urandom
from random import Random
from typing import Final

import msgspec

from clearlift_adapters.cipher import KEY_BYTES, FieldCipher
from clearlift_adapters.demo.provider import LIFETIMES_S, Providers, Tokens
from clearlift_adapters.demo.story import CAST, Minutes, Part, Value, sizes
from clearlift_adapters.stores.connections import Grant, SqliteConnections
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import Database
from clearlift_engine.policy import DAY_MS, MINUTE_MS, iso

_ORGANIZATION: Final = Query(
    "organization", "INSERT INTO organizations (id, name) VALUES (?1, ?1) ON CONFLICT DO NOTHING"
)
_CONNECTION: Final = Query(
    "connection",
    """
    INSERT INTO platform_connections (
      id, organization_id, platform, account_id, account_name, connected_by, connected_at,
      last_synced_at, sync_status, is_active, credentials_encrypted, refresh_token_encrypted,
      expires_at, scopes
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    """,
)
_INTERVAL: Final = Query(
    "interval", "INSERT INTO connection_settings (connection_id, sync_interval) VALUES (?1, ?2)"
)
_JOB: Final = Query(
    "job",
    """
    INSERT INTO sync_jobs (id, organization_id, connection_id, status, created_at, started_at)
    VALUES (?1, ?2, ?3, 'running', ?4, ?4)
    """,
)
_DEACTIVATE: Final = Query(
    "deactivate", "UPDATE platform_connections SET is_active = 0 WHERE id = ?1"
)

_IN_ONE_ORGANIZATION: Final = 8
_SCOPES: Final = '["ads.read"]'


class Member(msgspec.Struct, frozen=True):
    """A connection, and the part it plays."""

    part: Part
    connection_id: str
    organization_id: str
    platform: str
    account_id: str


class ApiWorker:
    """Connects users to platforms; nobody else but the consumer writes into the shared tables."""

    def __init__(
        self, db: Database, cipher: FieldCipher, providers: Providers, random: Random
    ) -> None:
        self.members: list[Member] = []
        self._db, self._cipher, self._providers, self._random = db, cipher, providers, random
        self._connections = SqliteConnections(db)
        self._nobodys_cipher = FieldCipher(b64encode(urandom(KEY_BYTES)).decode())

    def named(self, *names: str) -> Sequence[Member]:
        """Return those who play certain parts."""
        return [member for member in self.members if member.part.name in names]

    async def connect_all(self, connections: int, starts_at: int) -> None:
        """Fill the tables as they are when the day begins."""
        rows: dict[Query, list[Sequence[Value]]] = defaultdict(list)
        for part, count in zip(CAST, sizes(connections), strict=True):
            for _ in range(count):
                member = self._enter(part)
                rows[_ORGANIZATION].append((member.organization_id,))
                rows[_CONNECTION].append(self._row(member, starts_at))
                if part.interval_s is not None:
                    rows[_INTERVAL].append((member.connection_id, part.interval_s))
                if part.job_age is not None:
                    began = _plain(starts_at - part.job_age * MINUTE_MS)
                    job_id = f"made elsewhere for {member.connection_id}"
                    rows[_JOB].append((job_id, member.organization_id, member.connection_id, began))
        await self._db.write([(query, rows[query]) for query in rows])

    async def connect(self, part: Part, now_ms: int) -> None:
        """Let new users connect."""
        for _ in range(part.count):
            await self._store_grant(self._enter(part), now_ms)

    async def reconnect(self, members: Sequence[Member], now_ms: int) -> None:
        """Let users consent once more, to the accounts they had."""
        for member in members:
            await self._store_grant(member, now_ms)

    async def deactivate(self, members: Sequence[Member]) -> None:
        """Switch connections off."""
        await self._db.write([(_DEACTIVATE, [(member.connection_id,) for member in members])])

    async def _store_grant(self, member: Member, now_ms: int) -> None:
        tokens = self._providers.consent(member.platform, member.account_id)
        lifetime_ms = LIFETIMES_S[member.platform] * 1000
        grant = Grant(
            organization_id=member.organization_id,
            platform=member.platform,
            account_id=member.account_id,
            account_name=None,
            connected_by=f"user of {member.organization_id}",
            connected_at=iso(now_ms),
            access=self._cipher.seal(tokens.access),
            refresh=None if tokens.refresh is None else self._cipher.seal(tokens.refresh),
            expires_at=iso(now_ms + lifetime_ms),
            scopes=_SCOPES,
        )
        await self._connections.add(grant)

    def _enter(self, part: Part) -> Member:
        organization_id = f"org-{1 + len(self.members) // _IN_ONE_ORGANIZATION:03}"
        account_id = part.account or str(self._random.randrange(10**9, 10**10))
        connection_id = f"{organization_id}-{part.platform}-{account_id}"
        member = Member(part, connection_id, organization_id, part.platform, account_id)
        self.members.append(member)
        return member

    def _row(self, member: Member, starts_at: int) -> Sequence[Value]:
        part = member.part
        access, refresh = self._sealed(member)
        columns: dict[str, Value] = {
            "id": member.connection_id,
            "organization_id": member.organization_id,
            "platform": member.platform,
            "account_id": member.account_id,
            "account_name": f"{part.platform} account {member.account_id}",
            "connected_by": f"user of {member.organization_id}",
            "connected_at": _plain(starts_at - 30 * DAY_MS),
            "last_synced_at": self._time(part.synced, starts_at),
            "sync_status": "pending" if part.synced is None else "completed",
            "is_active": 1,
            "credentials_encrypted": access,
            "refresh_token_encrypted": refresh,
            "expires_at": self._time(part.expires, starts_at),
            "scopes": _SCOPES,
            **part.columns,
        }
        return tuple(columns.values())

    def _sealed(self, member: Member) -> tuple[str, str | None]:
        """Return the two encrypted columns, as this part of the story wants them."""
        tokens: Tokens = self._providers.consent(member.platform, member.account_id)
        cipher = self._nobodys_cipher if member.part.tokens == "foreign" else self._cipher
        access = cipher.seal(tokens.access)
        refresh = None if tokens.refresh is None else cipher.seal(tokens.refresh)
        match member.part.tokens:
            case "no_refresh":
                return access, None
            case "cut" if refresh is not None:
                return access, refresh[: len(refresh) // 2]
            case _:
                return access, refresh

    def _time(self, when: Minutes | str | None, starts_at: int) -> str | None:
        """Return a time between two minutes, in one or the other form that occurs in life."""
        if when is None or isinstance(when, str):
            return when
        at_ms = starts_at + int(self._random.uniform(*when) * MINUTE_MS)
        return iso(at_ms) if self._random.random() < 1 / 2 else _plain(at_ms)


def _plain(at_ms: int) -> str:
    """Return a time as SQLite's CURRENT_TIMESTAMP writes it."""
    return iso(at_ms)[:19].replace("T", " ")
