"""The port Store over plain dicts.

Whether a connection is due is asked of `assess` itself, row by row: what an index has to narrow
down elsewhere is decided here by the rule.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from clearlift_adapters.credentials import StoredCredentials, StoredTokens, iv_of
from clearlift_adapters.stores.memory.tables import (
    ConnectionRow,
    JobTableRow,
    MemoryDatabase,
    Projected,
    QueueRow,
    SealRow,
)
from clearlift_adapters.stores.timestamps import milliseconds
from clearlift_engine.events import JobCreated, decode
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Candidate, Due, Schedule, assess, expires_within, iso
from clearlift_engine.ports import Appended, Commit, JobRow, Message, Plan, SealedTokens, Waiting
from clearlift_engine.stream import Entry

# How all begins that this worker writes into sync_error. The consumer has failures of its own.
OURS: Final = ("Token refresh failed: ", "Job could not be queued: ")
NEVER: Final = -1000  # Before every time, as the order of a Plan has it.
FUTURE_MS: Final = 60_000  # By as much clocks may differ.


class _Place(msgspec.Struct, frozen=True, order=True):
    """Where a connection stands in a Plan."""

    turn: int  # Its organisation's first, second, third …
    synced: int
    ref: int
    expires: int
    platform: str | None  # None: ready.


class MemoryStore:
    """The port Store."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def due(
        self, *, now_ms: int, schedule: Schedule, limit: int, without: Collection[str] = ()
    ) -> Plan:
        jobs = self._db.open_jobs()
        found: list[Candidate] = []
        future: list[int] = []
        for ref, row in self._db.connections.items():
            conn = candidate(self._db, ref, jobs.get(row.id))
            if isinstance(assess(conn, now_ms, schedule), Due):
                found.append(conn)
            elif conn.is_active and (conn.last_synced_at or 0) > now_ms + FUTURE_MS:
                future.append(ref)
        places = _in_turn(found, now_ms, schedule.refresh_margin_ms)
        places = [place for place in places if place.platform not in without]
        chosen = places[:limit]
        expiring: dict[str, list[int]] = {}
        for place in sorted(chosen, key=lambda place: (place.turn, place.expires, place.ref)):
            if place.platform is not None:
                expiring.setdefault(place.platform, []).append(place.ref)
        ready = [place.ref for place in chosen if place.platform is None]
        return Plan(ready, expiring, len(places) <= limit, future)

    async def candidates(self, refs: Sequence[int]) -> Sequence[Candidate]:
        jobs, rows = self._db.open_jobs(), self._db.connections
        return [candidate(self._db, ref, jobs.get(rows[ref].id)) for ref in refs if ref in rows]

    async def find(self, connection_ids: Sequence[str]) -> Sequence[Candidate]:
        refs = [self._db.ref(connection_id) for connection_id in dict.fromkeys(connection_ids)]
        return await self.candidates([ref for ref in refs if ref is not None])

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        new = [commit for commit in commits if not self._is_written(commit)]
        if gate is not None:
            if gate.version != self._gate(gate.provider).version + 1:
                lost = frozenset(commit.before.connection_id for commit in new)
                return Appended(lost, gate_moved=False)
            self._db.gates[gate.provider] = gate
        jobs, lost_ids, refused = self._db.open_jobs(), set[str](), dict[str, str]()
        for commit in new:
            connection_id = commit.before.connection_id
            if self._is_lost(commit, jobs.get(connection_id)):
                lost_ids.add(connection_id)
            elif reason := self._refusal(commit.job):
                refused[connection_id] = reason
            else:
                self._make(commit)
        return Appended(frozenset(lost_ids), refused)

    async def gate(self, provider: str) -> Gate:
        return self._gate(provider)

    async def waiting(self, *, limit: int) -> Sequence[Waiting]:
        rows = [row for row in self._db.state.values() if row.stream.state == "job_created"]
        rows.sort(key=lambda row: row.position)
        return [Waiting(row.stream, _message_in(self._db.job_entry(row))) for row in rows[:limit]]

    def _gate(self, provider: str) -> Gate:
        return self._db.gates.get(provider, Gate(provider))

    def _is_written(self, commit: Commit) -> bool:
        """Return whether this very commit was made before, and its answer lost."""
        hashes = {draft.hash for draft in commit.drafts}
        return bool(hashes) and hashes <= self._db.hashes

    def _is_lost(self, commit: Commit, open_job: JobTableRow | None) -> bool:
        stream = self._db.stream(commit.before.connection_id)
        if (stream.version, stream.hash) != (commit.before.version, commit.before.hash):
            return True
        row = self._db.connection(commit.before.connection_id)
        if commit.tokens is not None and commit.drafts and not _fits(row, commit.tokens):
            return True
        if commit.job is None:
            return False
        if row is None or row.is_active != 1:
            return True
        return open_job is not None and open_job.since > commit.open_since

    def _refusal(self, job: JobRow | None) -> str | None:
        if job is None:
            return None
        if job.organization_id not in self._db.organizations:
            return "FOREIGN KEY constraint failed"
        if job.id in self._db.jobs:
            return "UNIQUE constraint failed: sync_jobs.id"
        return None

    def _make(self, commit: Commit) -> None:
        for draft in commit.drafts:
            position = self._db.write(draft)
            self._db.state[draft.connection_id] = Projected(commit.after, position)
        if commit.job is not None:
            self._db.jobs[commit.job.id] = JobTableRow(**msgspec.structs.asdict(commit.job))
        row = self._db.connection(commit.before.connection_id)
        if row is not None:
            _mark(row, commit)
            _store(self._db, row, commit.tokens)
        if commit.outgoing is not None:
            self._enqueue(commit.outgoing, commit.after.changed_at)

    def _enqueue(self, message: Message, at_ms: int) -> None:
        body = message.body.decode()
        row = QueueRow(job_id=message.job_id, body=body, enqueued_at=at_ms, visible_at=at_ms)
        self._db.queue.setdefault(message.job_id, row)


def candidate(db: MemoryDatabase, ref: int, open_job: JobTableRow | None) -> Candidate:
    """Return what is known of one connection."""
    row = db.connections[ref]
    last_synced_at, expires_at = milliseconds(row.last_synced_at), milliseconds(row.expires_at)
    interval_s = db.settings.get(row.id)
    stream = db.stream(row.id)
    dead = stream.state == "failed" and stream.retry_at is None
    return Candidate(
        connection_id=row.id,
        organization_id=row.organization_id,
        platform=row.platform,
        account_id=row.account_id,
        is_active=row.is_active == 1,
        sync_status=row.sync_status,
        last_synced_at=last_synced_at,
        last_synced_odd=last_synced_at is None and row.last_synced_at is not None,
        expires_at=expires_at,
        expires_odd=expires_at is None and row.expires_at is not None,
        connected_at=milliseconds(row.connected_at),
        interval_ms=None if interval_s is None else interval_s * 1000,
        job_id=None if open_job is None else open_job.id,
        job_since=None if open_job is None else open_job.since,
        reconnected=dead and stored(db, row).fingerprint != stream.credentials,
        stream=stream,
        scopes_odd=row.scopes is not None and not _is_json(row.scopes),
        ref=ref,
        moved_at=db.moved_at(row.id) if row.sync_status == "syncing" else None,
    )


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def stored(db: MemoryDatabase, row: ConnectionRow) -> StoredCredentials:
    """Return the encrypted tokens of a connection."""
    seals = db.seals.get(row.id)
    return StoredCredentials(
        row.id,
        row.credentials_encrypted,
        row.refresh_token_encrypted,
        None if seals is None else seals.ciphertexts,
        None if seals is None else seals.known_as,
    )


def _in_turn(found: Iterable[Candidate], now_ms: int, margin_ms: int) -> Sequence[_Place]:
    """Return the order that serves each organisation's first before any organisation's second."""
    waiting: list[tuple[int, _Place, str]] = []
    for conn in found:
        synced = NEVER if conn.last_synced_at is None else conn.last_synced_at // 1000
        expires = NEVER if conn.expires_at is None else conn.expires_at
        expiring = expires_within(conn, now_ms, margin_ms)
        place = _Place(0, synced, conn.ref, expires, conn.platform if expiring else None)
        waiting.append((expires if expiring else synced, place, conn.organization_id))
    served = Counter[tuple[str, str | None]]()
    places: list[_Place] = []
    for _, place, organization_id in sorted(waiting, key=lambda each: (each[0], each[1].ref)):
        turn = served[organization_id, place.platform]
        places.append(msgspec.structs.replace(place, turn=turn))
        served[organization_id, place.platform] += 1
    return sorted(places, key=lambda place: (place.turn, place.synced, place.ref))


def _message_in(entry: Entry) -> Message:
    event = decode(entry.transition, entry.data)
    assert isinstance(event, JobCreated), "a projection at job_created has such a row"
    return Message(event.message.job_id, msgspec.json.encode(event.message))


def _mark(row: ConnectionRow, commit: Commit) -> None:
    if commit.sync_error is not None:
        row.sync_status, row.sync_error = "failed", commit.sync_error
    elif commit.clears_error and row.sync_status == "failed" and _is_ours(row.sync_error):
        row.sync_status, row.sync_error = "pending", None


def _is_ours(sync_error: str | None) -> bool:
    return sync_error is not None and sync_error.startswith(OURS)


def _fits(row: ConnectionRow | None, tokens: SealedTokens) -> bool:
    """Return whether what the tokens replace is there: the user may have reconnected meanwhile."""
    assert isinstance(tokens, StoredTokens), "a store takes tokens sealed by its own adapters"
    if row is None:
        return False
    return tokens.fit(
        StoredCredentials(row.id, row.credentials_encrypted, row.refresh_token_encrypted)
    )


def _store(db: MemoryDatabase, row: ConnectionRow, tokens: SealedTokens | None) -> None:
    if not isinstance(tokens, StoredTokens) or not _fits(row, tokens):
        return
    row.credentials_encrypted = tokens.access
    if tokens.refresh is not None:
        row.refresh_token_encrypted = tokens.refresh
    row.expires_at = None if tokens.expires_at is None else iso(tokens.expires_at)
    if tokens.access_seal is not None:
        refresh = row.refresh_token_encrypted
        db.seals[row.id] = SealRow(
            connection_id=row.id,
            access_iv=iv_of(tokens.access),
            access_seal=tokens.access_seal,
            refresh_iv=None if tokens.refresh_seal is None else iv_of(refresh),
            refresh_seal=tokens.refresh_seal,
        )
