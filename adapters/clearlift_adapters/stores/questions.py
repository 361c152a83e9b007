"""The port Questions on a SQL database, and each question as one statement to take elsewhere."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clearlift_adapters.stores.queries import Query, bind, filled, load
from clearlift_adapters.stores.sql import Database, Row, Value
from clearlift_engine.overview import RunFact
from clearlift_engine.questions import Failing, JobCount, JobFact, Runs, Spent
from clearlift_engine.stream import Entry

_SQL: Final = load("questions.sql")
_RECENT_JOBS: Final = bind(_SQL, "recent_jobs", "limit")
_JOBS: Final = bind(_SQL, "jobs", "job_ids")
_JOBS_BY_STATUS: Final = bind(_SQL, "jobs_by_status", "since_ms")
_FAILURES: Final = bind(_SQL, "failures", "since_ms", "more_than", "limit")
_RUNS: Final = bind(_SQL, "runs", "since_ms", "command", "limit")
_LIFE: Final = bind(_SQL, "life", "connection_id", "after", "limit")

_FACTS: Final = len(Failing.__struct_fields__)
_TOTALS: Final = len(Spent.__struct_fields__)


class Question(NamedTuple):
    """A statement and what is bound to it."""

    query: Query
    parameters: tuple[Value, ...]

    @property
    def text(self) -> str:
        """Return the statement with everything in it, on one line."""
        return filled(self.query, *self.parameters)


def recent_jobs(limit: int) -> Question:
    """Ask for the newest jobs."""
    return Question(_RECENT_JOBS, (limit,))


def jobs_by_status(since_ms: int) -> Question:
    """Ask how many jobs of a period have which status."""
    return Question(_JOBS_BY_STATUS, (since_ms,))


def failures(since_ms: int, more_than: int, limit: int) -> Question:
    """Ask who failed more than so many times."""
    return Question(_FAILURES, (since_ms, more_than, limit))


def runs(since_ms: int, command: str | None, limit: int) -> Question:
    """Ask for the runs of a period."""
    return Question(_RUNS, (since_ms, command, limit))


def life(connection_id: str, after: int, limit: int) -> Question:
    """Ask for the rows of a connection's log; a negative limit is none."""
    return Question(_LIFE, (connection_id, after, limit))


class SqlQuestions:
    """The port Questions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def recent_jobs(self, *, limit: int) -> Sequence[JobFact]:
        return [_job(row) for row in await self._ask(recent_jobs(limit))]

    async def jobs_by_status(self, *, since_ms: int) -> Sequence[JobCount]:
        rows = await self._ask(jobs_by_status(since_ms))
        return [JobCount(status, int(number)) for status, number in rows]

    async def jobs(self, job_ids: Sequence[str]) -> Sequence[JobFact]:
        ids = msgspec.json.encode(job_ids).decode()
        return [_job(row) for row in await self._db.read(_JOBS, ids)]

    async def failures(self, *, since_ms: int, more_than: int, limit: int) -> Sequence[Failing]:
        rows = await self._ask(failures(since_ms, more_than, limit))
        return [Failing(*_whole(row[:_FACTS])) for row in rows]

    async def runs(self, *, since_ms: int, command: str | None, limit: int) -> Runs:
        rows = await self._ask(runs(since_ms, command, limit))
        found = [RunFact(*_whole(row[: -_TOTALS - 1])) for row in rows]
        sums = rows[0][-_TOTALS - 1 : -1] if rows else [0] * _TOTALS
        return Runs(found, Spent(*(int(number or 0) for number in sums)))

    async def life(self, connection_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        return [
            Entry(*_whole(row[:-1])) for row in await self._ask(life(connection_id, after, limit))
        ]

    async def _ask(self, question: Question) -> list[Row]:
        return await self._db.read(question.query, *question.parameters)


def _job(row: Row) -> JobFact:
    return JobFact(*_whole(row[:-1]))


def _whole(row: Row) -> Sequence[Any]:
    """Return a row whose numbers are whole ones again: D1 sends every number as a float."""
    return [int(value) if isinstance(value, float) else value for value in row]
