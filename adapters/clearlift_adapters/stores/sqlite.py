"""The store in one SQLite file. The queries, with their reasons, are in store.sql."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import count, groupby
from typing import Final

import msgspec

from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import (
    PROJECTED,
    candidate_in,
    gate_in,
    seals_of,
    tokens_of,
    waiting_in,
)
from clearlift_adapters.stores.sql import Database, RefusedError, Row, Step, Value
from clearlift_engine.decisions import completion
from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Candidate, Schedule
from clearlift_engine.ports import Appended, Commit, Plan, Waiting
from clearlift_engine.stream import Entry, Stream

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
_AHEAD: Final = bind(_SQL, "ahead", "connection_ids")
_STREAMS: Final = bind(_SQL, "streams", "connection_ids")
_AT: Final = bind(_SQL, "at", "rows")
_WRITTEN: Final = bind(_SQL, "written", "rows")
_BEHIND: Final = bind(_SQL, "behind", "limit")
_BEHIND_OF: Final = bind(_SQL, "behind_of", "refs")
_MOVE_GATE: Final = bind(_SQL, "move_gate", "provider", "version", "moved_by", "gate")
_APPEND_ENTRY: Final = bind(
    _SQL,
    "append_entry",
    "connection_id",
    "version",
    "transition",
    "source",
    "target",
    "occurred_at",
    "run_id",
    "job_id",
    "data",
    "hash",
    "seen_hash",
    "open_since_s",
    "gate",
    "gate_version",
    "moved_by",
    "access",
)
_PROJECT: Final = bind(_SQL, "project", *PROJECTED)
_INSERT_JOB: Final = bind(
    _SQL,
    "insert_job",
    "id",
    "organization_id",
    "connection_id",
    "job_type",
    "created_at",
    "metadata",
    "version",
    "hash",
)
_MARK_FAILED: Final = bind(_SQL, "mark_failed", "connection_id", "sync_error", "version", "hash")
_CLEAR_FAILED: Final = bind(_SQL, "clear_failed", "connection_id", "version", "hash")
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
_ENQUEUE: Final = bind(
    _SQL, "enqueue", "job_id", "body", "enqueued_at", "connection_id", "version", "hash"
)

_DEAD_PAGE: Final = 1_000
FUTURE_MAX: Final = 100  # As many are told of in a tick.
BEHIND_MAX: Final = 1_000  # As many are put right when a tick begins; the next one goes on.


class SqliteStore:
    """The port Store."""

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
        rows, dead, future, behind = await asyncio.gather(
            self._db.read(
                _DUE,
                now_ms,
                now_ms // 1000,
                (now_ms - schedule.interval_ms) // 1000,
                schedule.interval_ms // 1000,
                job_horizon_ms,
                job_horizon_ms // 1000,
                refresh_before_ms,
                _json(sorted(without)),
                self.few,
                limit + 1,
            ),
            self._db.read(_DEAD, refresh_before_ms, "", _DEAD_PAGE),
            self._db.read(_FUTURE, now_ms // 1000, FUTURE_MAX),
            self._behind(),
        )
        await self._complete([row[0] for row in behind])
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

    async def _behind(self) -> list[Row]:
        return await self._db.read(_BEHIND, BEHIND_MAX) if self._db.mends else []

    async def _behind_of(self, refs: Sequence[int]) -> list[Row]:
        return await self._db.read(_BEHIND_OF, _json(refs)) if self._db.mends else []

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
        rows, behind = await asyncio.gather(
            self._db.read(_CANDIDATES, _json(refs)), self._behind_of(refs)
        )
        if behind:
            await self._complete([row[0] for row in behind])
            rows = await self._db.read(_CANDIDATES, _json(refs))
        found: dict[int, Candidate] = {}
        for row in rows:
            conn = candidate_in(row)
            other = found.get(row[0])
            if other is None or (conn.job_since or 0) > (other.job_since or 0):
                found[row[0]] = conn
        return list(found.values())

    async def find(self, connection_ids: Sequence[str]) -> Sequence[Candidate]:
        return await self.candidates(
            [row[0] for row in await self._db.read(_REFS, _json(connection_ids))]
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

    async def _append_all(
        self, commits: Sequence[Commit], gate: Gate | None, moved_by: str
    ) -> Appended:
        steps = _steps(commits, gate, moved_by)
        changed = await self._db.write(steps)
        done = {
            query.name: made == len(rows)
            for (query, rows), made in zip(steps, changed, strict=True)
        }
        moved, entered = done["move_gate"], done["append_entry"]
        lost = set[str]() if entered else await self._not_written(commits)
        await self._complete(sorted(lost))
        return Appended(frozenset(lost | await self._not_at(commits)), gate_moved=moved)

    async def _not_written(self, commits: Sequence[Commit]) -> set[str]:
        drafts = [commit.drafts[-1] for commit in commits if commit.drafts]
        rows = [(draft.connection_id, draft.version, draft.hash) for draft in drafts]
        written = {row[0] for row in await self._db.read(_WRITTEN, _json(rows))}
        return {row[0] for row in rows} - written

    async def _complete(self, connection_ids: Sequence[str]) -> None:
        """Do the rest of what another worker's batch did in part: whoever meets it mends it.

        On SQLite there is never anything to mend, for there a batch is one transaction.
        """
        if not connection_ids:
            return
        ids = _json(connection_ids)
        ahead, known = await asyncio.gather(
            self._db.read(_AHEAD, ids), self._db.read(_STREAMS, ids)
        )
        entries = [Entry(*row) for row in ahead]
        if not entries:
            return
        streams = {row[0]: Stream(*row) for row in known}
        commits: list[Commit] = []
        for connection_id, group in groupby(entries, lambda entry: entry.connection_id):
            # A damaged log is for `replay` to report; it must not stop the others.
            with suppress(IllegalTransitionError, UnreadableEventError):
                before = streams.get(connection_id, Stream(connection_id))
                commits.append(completion(before, list(group)))
        rows = [_columns(commit.after) for commit in commits]
        await self._db.write([*_explained(commits), (_PROJECT, rows)])

    async def _not_at(self, commits: Sequence[Commit]) -> set[str]:
        """Return the streams that have moved, of those that only new tokens are stored for."""
        rows = [
            (each.before.connection_id, each.before.hash) for each in commits if not each.drafts
        ]
        there = {row[0] for row in await self._db.read(_AT, _json(rows))} if rows else set[str]()
        return {row[0] for row in rows} - there


def _steps(commits: Sequence[Commit], gate: Gate | None, moved_by: str) -> list[Step]:
    """Return all that the commits write: first the gate, then the log, on which the rest waits."""
    moves = [] if gate is None else [(gate.provider, gate.version, moved_by, _json(gate))]
    return [
        (_MOVE_GATE, moves),
        (_STORE_TOKENS, tokens_of(commits)),
        (_SEAL_TOKENS, seals_of(commits)),
        (_APPEND_ENTRY, _entries(commits, gate, moved_by)),
        *_explained(commits),
        (_PROJECT, [_columns(commit.after) for commit in commits if commit.drafts]),
    ]


def _entries(commits: Sequence[Commit], gate: Gate | None, moved_by: str) -> list[Sequence[Value]]:
    by = (None, None, moved_by) if gate is None else (gate.provider, gate.version, moved_by)
    entries: list[Sequence[Value]] = []
    for commit in commits:
        open_since_s = None if commit.job is None else commit.open_since // 1000
        guards = (commit.before.hash, open_since_s, *by, _new_access(commit))
        entries += [(*msgspec.structs.astuple(draft), *guards) for draft in commit.drafts]
    return entries


def _new_access(commit: Commit) -> str | None:
    return commit.tokens.access if isinstance(commit.tokens, StoredTokens) else None


def _columns(stream: Stream) -> Sequence[Value]:
    return msgspec.structs.astuple(stream)


def _explained(commits: Sequence[Commit]) -> list[Step]:
    """Return what follows from the rows of the log, in other tables."""
    jobs: list[Sequence[Value]] = []
    failed: list[Sequence[Value]] = []
    cleared: list[Sequence[Value]] = []
    queued: list[Sequence[Value]] = []
    for commit in commits:
        after = commit.after
        newest = (after.version, after.hash)
        if commit.job is not None:
            jobs.append((*msgspec.structs.astuple(commit.job), *newest))
        if commit.sync_error is not None:
            failed.append((after.connection_id, commit.sync_error, *newest))
        if commit.clears_error:
            cleared.append((after.connection_id, *newest))
        if commit.outgoing is not None:
            body = commit.outgoing.body.decode()
            message = (commit.outgoing.job_id, body, after.changed_at)
            queued.append((*message, after.connection_id, *newest))
    return [
        (_INSERT_JOB, jobs),
        (_MARK_FAILED, failed),
        (_CLEAR_FAILED, cleared),
        (_ENQUEUE, queued),
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
