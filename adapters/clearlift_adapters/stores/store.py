"""What the stores in SQL have in common: what they read, and who is to blame for a refusal.

The queries, with their reasons, are in store.sql. How a batch of commits is written is each
database's own: sqlite.py, d1_store.py.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from itertools import count
from typing import Final

import msgspec

from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import candidate_in, gate_in, seals_of, tokens_of, waiting_in
from clearlift_adapters.stores.sql import Database, RefusedError, Row, Step, Value
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Candidate, Schedule
from clearlift_engine.ports import Appended, Commit, Plan, Waiting

GUARDS: Final = ("seen_hash", "open_since_s", "gate", "gate_version", "moved_by", "access")

_SQL: Final = load("store.sql")
_DUE: Final = bind(
    _SQL,
    "due",
    "now_ms",
    "now_s",
    "synced_before_s",
    "interval_s",
    "job_horizon_ms",
    "job_horizon_s",
    "refresh_before_ms",
    "without",
    "few",
    "limit",
)
_FUTURE: Final = bind(_SQL, "future", "now_s", "limit")
_DEAD: Final = bind(_SQL, "dead", "refresh_before_ms", "after", "limit")
_CANDIDATES: Final = bind(_SQL, "candidates", "refs")
_REFS: Final = bind(_SQL, "refs", "connection_ids")
_WAITING: Final = bind(_SQL, "waiting", "limit")
_GATE: Final = bind(_SQL, "gate", "provider")
_AT: Final = bind(_SQL, "at", "rows")
_WRITTEN: Final = bind(_SQL, "written", "rows")
_MOVE_GATE: Final = bind(_SQL, "move_gate", "provider", "version", "moved_by", "gate")
_STORE_TOKENS: Final = bind(
    _SQL,
    "store_tokens",
    "connection_id",
    "access",
    "refresh",
    "expires_at",
    "old_access",
    "old_refresh",
    "seen_hash",
)
_SEAL_TOKENS: Final = bind(
    _SQL,
    "seal_tokens",
    "connection_id",
    "access_iv",
    "access_seal",
    "refresh_iv",
    "refresh_seal",
)
_MARK_FAILED: Final = bind(_SQL, "mark_failed", "connection_id", "sync_error", "version", "hash")
_CLEAR_FAILED: Final = bind(_SQL, "clear_failed", "connection_id", "version", "hash")

_DEAD_PAGE: Final = 1_000
FUTURE_MAX: Final = 100  # As many are told of in a tick.


class SqlStore(ABC):
    """The port Store, but for the writing of a batch."""

    # Up to so many overdue connections are looked up one by one: some 20 ms.
    few: int = 5_000

    def __init__(self, db: Database) -> None:
        self._db = db
        self._moves = count(1)

    async def due(
        self, *, now_ms: int, schedule: Schedule, limit: int, without: Collection[str] = ()
    ) -> Plan:
        job_horizon_ms = now_ms - schedule.job_limit_ms
        refresh_before_ms = now_ms + schedule.refresh_margin_ms
        # Asked together, for where each question is a request.
        rows, dead, future = await asyncio.gather(
            self._db.read(
                _DUE,
                now_ms,
                now_ms // 1000,
                (now_ms - schedule.interval_ms) // 1000,
                schedule.interval_ms // 1000,
                job_horizon_ms,
                job_horizon_ms // 1000,
                refresh_before_ms,
                json_of(sorted(without)),
                self.few,
                limit + 1,
            ),
            self._db.read(_DEAD, refresh_before_ms, "", _DEAD_PAGE),
            self._db.read(_FUTURE, now_ms // 1000, FUTURE_MAX),
        )
        back = await self._reconnected(dead, refresh_before_ms, limit + 1 - len(rows))
        rows += [row for row in back if row[1] not in without]
        complete, rows = len(rows) <= limit, rows[:limit]
        expiring: dict[str, list[tuple[int, int, int]]] = {}
        for ref, platform, turn, expires_ms in rows:
            if platform is not None:
                expiring.setdefault(platform, []).append((turn, expires_ms, ref))
        return Plan(
            [row[0] for row in rows if row[1] is None],
            {platform: [ref for *_, ref in sorted(found)] for platform, found in expiring.items()},
            complete,
            [row[0] for row in future],
        )

    async def _reconnected(
        self, page: Sequence[Row], refresh_before_ms: int, limit: int
    ) -> list[Row]:
        """Return up to `limit` of those whose grant was dead and whose credentials are others.

        The first page of those whose grant was dead is given.
        """
        found: list[Row] = []
        while page and len(found) < limit:
            for connection_id, ref, platform, dead, *stored, expiring in page:
                if StoredCredentials(connection_id, *stored).fingerprint != dead:
                    found.append((ref, platform if expiring else None, 0, 0))
            if len(page) < _DEAD_PAGE:
                break
            page = await self._db.read(_DEAD, refresh_before_ms, page[-1][0], _DEAD_PAGE)
        return found[:limit]

    async def candidates(self, refs: Sequence[int]) -> Sequence[Candidate]:
        found: dict[int, Candidate] = {}
        for row in await self._db.read(_CANDIDATES, json_of(refs)):
            conn = candidate_in(row)
            other = found.get(row[0])
            if other is None or (conn.job_since or 0) > (other.job_since or 0):
                found[row[0]] = conn
        return list(found.values())

    async def find(self, connection_ids: Sequence[str]) -> Sequence[Candidate]:
        return await self.candidates(
            [row[0] for row in await self._db.read(_REFS, json_of(connection_ids))]
        )

    async def waiting(self, *, limit: int) -> Sequence[Waiting]:
        return [waiting_in(row) for row in await self._db.read(_WAITING, limit)]

    async def gate(self, provider: str) -> Gate:
        rows = await self._db.read(_GATE, provider)
        return gate_in(rows[0]) if rows else Gate(provider)

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        if not commits and gate is None:
            return Appended()
        moved_by = "" if gate is None else f"{gate.run_id}/{next(self._moves)}"
        return await self._append(commits, gate, moved_by)

    async def _append(
        self, commits: Sequence[Commit], gate: Gate | None, moved_by: str
    ) -> Appended:
        """Append what can be; a commit that is refused among others is found by halving."""
        try:
            return await self._append_all(commits, gate, moved_by)
        except RefusedError as exc:
            if len(commits) > 1:
                half = len(commits) // 2
                first = await self._append(commits[:half], gate, moved_by)
                second = await self._append(commits[half:], gate, moved_by)
            else:
                first = await self._append_all([], gate, moved_by)
                second = Appended(refused={each.before.connection_id: str(exc) for each in commits})
        return Appended(
            first.lost | second.lost,
            {**first.refused, **second.refused},
            first.gate_moved or second.gate_moved,
        )

    @abstractmethod
    async def _append_all(
        self, commits: Sequence[Commit], gate: Gate | None, moved_by: str
    ) -> Appended:
        """Append what is not lost, in one transaction.

        Raises:
            RefusedError: a constraint or a trigger refused; nothing was done.
        """

    async def _not_written(self, commits: Sequence[Commit]) -> set[str]:
        """Return the streams whose rows are not in the log."""
        drafts = [commit.drafts[-1] for commit in commits if commit.drafts]
        rows = [(draft.connection_id, draft.version, draft.hash) for draft in drafts]
        written = {row[0] for row in await self._db.read(_WRITTEN, json_of(rows))}
        return {row[0] for row in rows} - written

    async def _not_at(self, commits: Sequence[Commit]) -> set[str]:
        """Return the streams that have moved, of those that only new tokens are stored for."""
        rows = [
            (each.before.connection_id, each.before.hash) for each in commits if not each.drafts
        ]
        there = {row[0] for row in await self._db.read(_AT, json_of(rows))} if rows else set[str]()
        return {row[0] for row in rows} - there


def gate_steps(gate: Gate | None, moved_by: str) -> list[Step]:
    """Return what moves the gate, if it has to be."""
    moves = [] if gate is None else [(gate.provider, gate.version, moved_by, json_of(gate))]
    return [(_MOVE_GATE, moves)]


def token_steps(commits: Sequence[Commit]) -> list[Step]:
    """Return what stores new tokens, and seals them."""
    return [(_STORE_TOKENS, tokens_of(commits)), (_SEAL_TOKENS, seals_of(commits))]


def status_steps(commits: Sequence[Commit]) -> list[Step]:
    """Return what tells the users of the connections, once the log says so."""
    failed: list[Sequence[Value]] = []
    cleared: list[Sequence[Value]] = []
    for commit in commits:
        after = commit.after
        if commit.sync_error is not None:
            failed.append((after.connection_id, commit.sync_error, after.version, after.hash))
        if commit.clears_error:
            cleared.append((after.connection_id, after.version, after.hash))
    return [(_MARK_FAILED, failed), (_CLEAR_FAILED, cleared)]


def guards_of(commit: Commit, gate: Gate | None, moved_by: str) -> Sequence[Value]:
    """Return what has to be so for the log to take a commit, in the order of GUARDS."""
    open_since_s = None if commit.job is None else commit.open_since // 1000
    by = (None, None) if gate is None else (gate.provider, gate.version)
    access = commit.tokens.access if isinstance(commit.tokens, StoredTokens) else None
    return commit.before.hash, open_since_s, *by, moved_by, access


def json_of(value: object) -> str:
    """Return a value as the JSON that a statement takes apart."""
    return msgspec.json.encode(value).decode()
