"""The tables, row by row, with the columns that the migrations give them.

What other programs write (connections, jobs) is kept as the raw value that they wrote.
"""

from collections.abc import Mapping

import msgspec

from clearlift_adapters.credentials import Stored
from clearlift_adapters.stores.timestamps import milliseconds
from clearlift_engine.cycles import OPERATORS
from clearlift_engine.pacing import Gate
from clearlift_engine.stream import Draft, Entry, Stream

Raw = str | int | float | None  # What a DATETIME or BOOLEAN column may hold.


class ConnectionRow(msgspec.Struct, kw_only=True):
    """A row of `platform_connections`."""

    id: str
    organization_id: str
    platform: str
    account_id: str
    account_name: str | None = None
    connected_by: str = "user"
    connected_at: Raw = None
    last_synced_at: Raw = None
    sync_status: str | None = "pending"
    sync_error: str | None = None
    is_active: Raw = 1
    credentials_encrypted: Stored = None
    refresh_token_encrypted: Stored = None
    expires_at: Raw = None
    scopes: str | None = None


class JobTableRow(msgspec.Struct, kw_only=True):
    """A row of `sync_jobs`."""

    id: str
    organization_id: str
    connection_id: str
    status: str | None = "pending"
    job_type: str | None = "full"
    started_at: Raw = None
    completed_at: Raw = None
    error_message: str | None = None
    records_synced: int | None = 0
    created_at: Raw = None
    metadata: str | None = "{}"

    @property
    def is_open(self) -> bool:
        """Return whether anybody may still be at work on it."""
        return self.status in ("pending", "running")

    @property
    def since(self) -> int:
        """Return its last sign of life: when it was created or started; 0 if no one can tell."""
        return max(milliseconds(self.created_at) or 0, milliseconds(self.started_at) or 0)


class Projected(msgspec.Struct, frozen=True):
    """A row of `connection_state`."""

    stream: Stream
    position: int


class RunRow(msgspec.Struct, kw_only=True):
    """A row of `runs`."""

    id: str
    command: str
    started_at: int
    finished_at: int | None = None
    outcome: str | None = None
    report: str | None = None
    cpu_ms: int | None = None


class LeaseRow(msgspec.Struct, kw_only=True):
    """A row of `leases`."""

    name: str
    holder: str
    until: int


class SealRow(msgspec.Struct, kw_only=True):
    """A row of `credential_seals`."""

    connection_id: str
    access_iv: str | None = None
    access_seal: str | None = None
    refresh_iv: str | None = None
    refresh_seal: str | None = None
    ciphertexts: str | None = None
    known_as: str | None = None


class NoticeRow(msgspec.Struct, kw_only=True):
    """A row of `notices`."""

    kind: str
    subject: str
    about: str
    told_at: int


class QueueRow(msgspec.Struct, kw_only=True):
    """A row of `queue_messages`."""

    job_id: str
    body: str
    enqueued_at: int
    attempts: int = 0
    visible_at: int
    lease_id: str | None = None
    dead_at: int | None = None


class MemoryDatabase:
    """Every table, by its primary key."""

    def __init__(self) -> None:
        self.organizations: set[str] = set()
        self.connections: dict[int, ConnectionRow] = {}  # By rowid: what a Plan refers to.
        self.settings: dict[str, int] = {}  # connection_settings: seconds.
        self.jobs: dict[str, JobTableRow] = {}
        self.outbox: dict[int, Entry] = {}
        self.hashes: set[str] = set()  # Of the rows of the log.
        self.state: dict[str, Projected] = {}
        self.gates: dict[str, Gate] = {}
        self.runs: dict[str, RunRow] = {}
        self.leases: dict[str, LeaseRow] = {}
        self.queue: dict[str, QueueRow] = {}
        self.seals: dict[str, SealRow] = {}
        self.notices: dict[tuple[str, str], NoticeRow] = {}  # By kind and subject.
        self.highest_position = 0  # Ever given out.
        self.highest_rowid = 0
        self._rowids: dict[str, int] = {}

    def connect(self, row: ConnectionRow) -> None:
        """Insert a connection."""
        assert self.connection(row.id) is None, f"there is a connection {row.id!r} already"
        self.highest_rowid += 1
        self.connections[self.highest_rowid] = row
        self._rowids[row.id] = self.highest_rowid

    def ref(self, connection_id: str) -> int | None:
        """Return what a Plan calls a connection; None if there is no such."""
        return self._rowids.get(connection_id)

    def connection(self, connection_id: str) -> ConnectionRow | None:
        """Return a connection by its id."""
        return self.connections.get(self._rowids.get(connection_id, 0))

    def disconnect(self, connection_id: str) -> None:
        """Delete a connection; what other tables say about it stays."""
        del self.connections[self._rowids.pop(connection_id)]

    def write(self, draft: Draft) -> int:
        """Append a row to the log; return its position."""
        self.highest_position += 1
        entry = Entry(self.highest_position, *msgspec.structs.astuple(draft))
        self.outbox[entry.position] = entry
        self.hashes.add(entry.hash)
        return entry.position

    def job_entry(self, projected: Projected) -> Entry:
        """Return the row of the log that holds the job of a connection at `job_created`."""
        connection_id = projected.stream.connection_id
        return next(
            entry
            for position in range(projected.position, 0, -1)
            if (entry := self.outbox[position]).connection_id == connection_id
            and entry.transition == "job_created"
        )

    def moved_at(self, connection_id: str) -> int:
        """Return when anybody but an operator last wrote of a connection; 0: nobody has."""
        times = (
            entry.occurred_at
            for entry in self.outbox.values()
            if entry.connection_id == connection_id and entry.transition not in OPERATORS
        )
        return max(times, default=0)

    def stream(self, connection_id: str) -> Stream:
        """Return where a connection stands, by its projection."""
        projected = self.state.get(connection_id)
        return Stream(connection_id) if projected is None else projected.stream

    def open_jobs(self) -> Mapping[str, JobTableRow]:
        """Return the newest open job of each connection that has any."""
        newest: dict[str, JobTableRow] = {}
        for job in self.jobs.values():
            if job.is_open:
                other = newest.get(job.connection_id)
                if other is None or job.since > other.since:
                    newest[job.connection_id] = job
        return newest
