"""The small ports over plain dicts: survey, vault of credentials, journal of runs, leases."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from clearlift_adapters.credentials import Column, Seal, Stored, StoredCredentials, iv_of
from clearlift_adapters.stores.memory.store import stored
from clearlift_adapters.stores.memory.tables import (
    ConnectionRow,
    LeaseRow,
    MemoryDatabase,
    RunRow,
    SealRow,
)


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
        places = Counter(_held(self._db.connections.values()))
        return [_placed(self._db, row, places) for row in rows if row is not None]

    async def sample(self, limit: int) -> Sequence[StoredCredentials]:
        rows = (
            stored(self._db, row)
            for row in self._db.connections.values()
            if row.is_active == 1
            and (row.credentials_encrypted, row.refresh_token_encrypted) != (None, None)
        )
        return list(islice(rows, limit))


def _held(rows: Iterable[ConnectionRow]) -> Iterator[Stored]:
    for row in rows:
        yield from (row.credentials_encrypted, row.refresh_token_encrypted)


def _placed(
    db: MemoryDatabase, row: ConnectionRow, places: Mapping[Stored, int]
) -> StoredCredentials:
    """Return the encrypted tokens of a connection, and what tells whether they are its own."""
    found = stored(db, row)
    ivs = {iv_of(found.access), iv_of(found.refresh)} - {None}
    seals = [
        Seal(each.connection_id, column, seal)
        for each in db.seals.values()
        for column, iv, seal in _sealed(each)
        if iv in ivs and seal is not None
    ]
    return msgspec.structs.replace(
        found,
        access_copied=found.access is not None and places[found.access] > 1,
        refresh_copied=found.refresh is not None and places[found.refresh] > 1,
        seals=tuple(seals),
    )


def _sealed(row: SealRow) -> Sequence[tuple[Column, str | None, str | None]]:
    return (
        ("credentials_encrypted", row.access_iv, row.access_seal),
        ("refresh_token_encrypted", row.refresh_iv, row.refresh_seal),
    )


class MemoryJournal:
    """The port Journal."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def begin(self, run_id: str, command: str, *, now_ms: int) -> None:
        run = RunRow(id=run_id, command=command, started_at=now_ms)
        self._db.runs.setdefault(run_id, run)

    async def finish(
        self, run_id: str, *, now_ms: int, outcome: str, report: bytes, cpu_ms: int | None = None
    ) -> None:
        run = self._db.runs.get(run_id)
        if run is not None:
            run.finished_at, run.outcome, run.report = now_ms, outcome, report.decode()
            run.cpu_ms = cpu_ms


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
