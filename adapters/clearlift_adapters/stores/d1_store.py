"""The store on D1, where a transaction is a list of statements, and may be done in part.

Each statement carries its own guards, and runs once, over a JSON array of rows. Whatever prefix of
a batch was done does no harm, and whoever meets it completes it. The queries, with their reasons,
are in store.sql.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

import msgspec

from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import PROJECTED
from clearlift_adapters.stores.sql import Database, Step, Value
from clearlift_adapters.stores.store import (
    GUARDS,
    SqlStore,
    gate_steps,
    guards_of,
    json_of,
    status_steps,
    token_steps,
)
from clearlift_engine.decisions import completion
from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Candidate, Schedule
from clearlift_engine.ports import Appended, Commit, Plan
from clearlift_engine.stream import Entry, Stream

_SQL: Final = load("store.sql")
_AHEAD: Final = bind(_SQL, "ahead", "connection_ids")
_STREAMS: Final = bind(_SQL, "streams", "connection_ids")
_BEHIND: Final = bind(_SQL, "behind", "limit")
_BEHIND_OF: Final = bind(_SQL, "behind_of", "refs")
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
    *GUARDS,
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
_ENQUEUE: Final = bind(
    _SQL, "enqueue", "job_id", "body", "enqueued_at", "connection_id", "version", "hash"
)

BEHIND_MAX: Final = 1_000  # As many are put right when a tick begins; the next one goes on.


class D1Store(SqlStore):
    """The port Store. One that only reads completes nothing."""

    def __init__(self, db: Database, *, mends: bool) -> None:
        super().__init__(db)
        self._mends = mends

    async def due(
        self, *, now_ms: int, schedule: Schedule, limit: int, without: Collection[str] = ()
    ) -> Plan:
        plan, _ = await asyncio.gather(
            super().due(now_ms=now_ms, schedule=schedule, limit=limit, without=without),
            self._complete_behind(),
        )
        return plan

    async def _complete_behind(self) -> None:
        if self._mends:
            await self._complete([row[0] for row in await self._db.read(_BEHIND, BEHIND_MAX)])

    async def candidates(self, refs: Sequence[int]) -> Sequence[Candidate]:
        if not self._mends:
            return await super().candidates(refs)
        found, behind = await asyncio.gather(
            super().candidates(refs), self._db.read(_BEHIND_OF, json_of(refs))
        )
        if behind:
            await self._complete([row[0] for row in behind])
            found = await super().candidates(refs)
        return found

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

    async def _complete(self, connection_ids: Sequence[str]) -> None:
        """Do the rest of what another worker's batch did in part: whoever meets it mends it."""
        if not connection_ids:
            return
        ids = json_of(connection_ids)
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


def _steps(commits: Sequence[Commit], gate: Gate | None, moved_by: str) -> list[Step]:
    """Return all that the commits write: first the gate, then the log, on which the rest waits."""
    return [
        *gate_steps(gate, moved_by),
        *token_steps(commits),
        (_APPEND_ENTRY, _entries(commits, gate, moved_by)),
        *_explained(commits),
        (_PROJECT, [_columns(commit.after) for commit in commits if commit.drafts]),
    ]


def _entries(commits: Sequence[Commit], gate: Gate | None, moved_by: str) -> list[Sequence[Value]]:
    entries: list[Sequence[Value]] = []
    for commit in commits:
        guards = guards_of(commit, gate, moved_by)
        entries += [(*msgspec.structs.astuple(draft), *guards) for draft in commit.drafts]
    return entries


def _columns(stream: Stream) -> Sequence[Value]:
    return msgspec.structs.astuple(stream)


def _explained(commits: Sequence[Commit]) -> list[Step]:
    """Return what follows from the rows of the log, in other tables."""
    jobs: list[Sequence[Value]] = []
    queued: list[Sequence[Value]] = []
    for commit in commits:
        after = commit.after
        if commit.job is not None:
            jobs.append((*msgspec.structs.astuple(commit.job), after.version, after.hash))
        if commit.outgoing is not None:
            newest = (after.connection_id, after.version, after.hash)
            body = commit.outgoing.body.decode()
            queued.append((commit.outgoing.job_id, body, after.changed_at, *newest))
    return [(_INSERT_JOB, jobs), *status_steps(commits), (_ENQUEUE, queued)]
