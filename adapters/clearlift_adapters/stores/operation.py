"""The small ports on a SQLite file: the vault of credentials, the journal of runs, leases."""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_adapters.credentials import StoredCredentials
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import credentials_in
from clearlift_adapters.stores.sql import Database

_SQL: Final = load("operation.sql")
_ALL_REFS: Final = bind(_SQL, "all_refs", "after", "limit")
_CREDENTIALS: Final = bind(_SQL, "credentials", "connection_ids")
_SAMPLE: Final = bind(_SQL, "sample", "limit")
_BEGIN_RUN: Final = bind(_SQL, "begin_run", "id", "command", "started_at")
_FINISH_RUN: Final = bind(_SQL, "finish_run", "id", "finished_at", "outcome", "report", "cpu_ms")
_HOLD_LEASE: Final = bind(_SQL, "hold_lease", "name", "holder", "until", "now")


class SqliteSurvey:
    """The port Survey."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def refs(self, *, after: int, limit: int) -> Sequence[int]:
        return [row[0] for row in await self._db.read(_ALL_REFS, after, limit)]


class SqliteVault:
    """The port Vault."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def credentials(self, connection_ids: Sequence[str]) -> Sequence[StoredCredentials]:
        ids = msgspec.json.encode(connection_ids).decode()
        return [credentials_in(row) for row in await self._db.read(_CREDENTIALS, ids)]

    async def sample(self, limit: int) -> Sequence[StoredCredentials]:
        return [StoredCredentials(*row) for row in await self._db.read(_SAMPLE, limit)]


class SqliteJournal:
    """The port Journal."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(self, run_id: str, command: str, *, now_ms: int) -> None:
        await self._db.write([(_BEGIN_RUN, [(run_id, command, now_ms)])])

    async def finish(
        self, run_id: str, *, now_ms: int, outcome: str, report: bytes, cpu_ms: int | None = None
    ) -> None:
        row = (run_id, now_ms, outcome, report.decode(), cpu_ms)
        await self._db.write([(_FINISH_RUN, [row])])


class SqliteLeases:
    """The port Leases."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def hold(self, name: str, holder: str, *, now_ms: int, until_ms: int) -> bool:
        [changed] = await self._db.write([(_HOLD_LEASE, [(name, holder, until_ms, now_ms)])])
        return changed == 1
