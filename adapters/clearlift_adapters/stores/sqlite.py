"""The store in one SQLite file, where a batch is one transaction, and nobody writes in between.

So each commit is asked for once whether it still holds, and all that it says is then written as it
is. The queries, with their reasons, are in store.sql and sqlite.sql.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec.structs import astuple

from clearlift_adapters.stores.database import SqliteDatabase, Transaction
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import PROJECTED
from clearlift_adapters.stores.sql import Step, Value
from clearlift_adapters.stores.store import (
    GUARDS,
    SqlStore,
    gate_steps,
    guards_of,
    status_steps,
    token_steps,
)
from clearlift_engine.pacing import Gate
from clearlift_engine.ports import Appended, Commit, JobRow
from clearlift_engine.stream import Draft

_SHARED: Final = load("store.sql")
_FITS: Final = bind(_SHARED, "fits", "at", "connection_id", "version", *GUARDS)
_SQL: Final = load("sqlite.sql")
_ENTER: Final = bind(_SQL, "enter", *Draft.__struct_fields__)
_ENTER_JOB: Final = bind(_SQL, "enter_job", *JobRow.__struct_fields__)
_ENTER_MESSAGE: Final = bind(_SQL, "enter_message", "job_id", "body", "enqueued_at")
_STAND: Final = bind(_SQL, "stand", *PROJECTED, "position")


class SqliteStore(SqlStore):
    """The port Store."""

    def __init__(self, db: SqliteDatabase) -> None:
        super().__init__(db)
        self._file = db

    async def _append_all(
        self, commits: Sequence[Commit], gate: Gate | None, moved_by: str
    ) -> Appended:
        missed = await self._file.transact(
            partial(_append, commits=commits, gate=gate, moved_by=moved_by)
        )
        if missed is None:
            lost = {each.before.connection_id for each in commits}
            return Appended(frozenset(lost), gate_moved=False)
        lost = await self._not_written(missed) if missed else set[str]()
        return Appended(frozenset(lost | await self._not_at(commits)))


def _append(
    transaction: Transaction, commits: Sequence[Commit], gate: Gate | None, moved_by: str
) -> list[Commit] | None:
    """Write all commits that hold; return the others, or None if the gate is not there any more."""
    [moved] = transaction.write(gate_steps(gate, moved_by))
    if gate is not None and not moved:
        return None
    transaction.write(token_steps(commits))
    logged = [commit for commit in commits if commit.drafts]
    asked = [(at, *_question(each, gate, moved_by)) for at, each in enumerate(logged)]
    fitting = {row[0] for row in transaction.read(_FITS, asked)}
    taken = [commit for at, commit in enumerate(logged) if at in fitting]
    missed = [commit for at, commit in enumerate(logged) if at not in fitting]
    entries = [astuple(draft) for commit in taken for draft in commit.drafts]
    transaction.write([(_ENTER, entries)])
    # One transaction at a time, and positions have no gaps: so the first of them is known too.
    position = transaction.newest_rowid() + 1 - len(entries)
    transaction.write(_explained(taken, position))
    return missed


def _question(commit: Commit, gate: Gate | None, moved_by: str) -> Sequence[Value]:
    first = commit.drafts[0]
    return first.connection_id, first.version, *guards_of(commit, gate, moved_by)


def _explained(commits: Sequence[Commit], position: int) -> list[Step]:
    """Return what follows from the rows of the log, the first of which is at `position`."""
    jobs: list[Sequence[Value]] = []
    messages: list[Sequence[Value]] = []
    streams: list[Sequence[Value]] = []
    for commit in commits:
        if commit.job is not None:
            jobs.append(astuple(commit.job))
        if commit.outgoing is not None:
            message = commit.outgoing
            messages.append((message.job_id, message.body.decode(), commit.after.changed_at))
        position += len(commit.drafts)
        streams.append((*astuple(commit.after), position - 1))
    return [
        (_ENTER_JOB, jobs),
        *status_steps(commits),
        (_ENTER_MESSAGE, messages),
        (_STAND, streams),
    ]
