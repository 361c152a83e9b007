"""The small ports over plain dicts: survey, vault of credentials, journal of runs, leases."""

from collections.abc import Sequence
from itertools import islice

from clearlift_adapters.credentials import StoredCredentials
from clearlift_adapters.stores.memory.store import stored
from clearlift_adapters.stores.memory.tables import LeaseRow, MemoryDatabase, RunRow


class MemorySurvey:
    """The port Survey."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def refs(self, *, after: int, limit: int) -> Sequence[int]:
        return [ref for ref in sorted(self._db.connections) if ref > after][:limit]


class MemoryVault:
    """The port Vault."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def credentials(self, connection_ids: Sequence[str]) -> Sequence[StoredCredentials]:
        rows = [self._db.connection(connection_id) for connection_id in connection_ids]
        return [stored(row) for row in rows if row is not None]

    async def sample(self, limit: int) -> Sequence[StoredCredentials]:
        rows = (
            stored(row)
            for row in self._db.connections.values()
            if row.is_active == 1
            and (row.credentials_encrypted, row.refresh_token_encrypted) != (None, None)
        )
        return list(islice(rows, limit))


class MemoryJournal:
    """The port Journal."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def begin(self, run_id: str, command: str, *, now_ms: int) -> None:
        run = RunRow(id=run_id, command=command, started_at=now_ms)
        self._db.runs.setdefault(run_id, run)

    async def finish(self, run_id: str, *, now_ms: int, outcome: str, report: bytes) -> None:
        run = self._db.runs.get(run_id)
        if run is not None:
            run.finished_at, run.outcome, run.report = now_ms, outcome, report.decode()


class MemoryLeases:
    """The port Leases."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def hold(self, name: str, holder: str, *, now_ms: int, until_ms: int) -> bool:
        lease = self._db.leases.get(name)
        if lease is not None and lease.holder != holder and lease.until > now_ms:
            return False
        self._db.leases[name] = LeaseRow(name=name, holder=holder, until=until_ms)
        return True
