"""The port Questions over plain dicts."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from clearlift_adapters.stores.memory.monitor import fact
from clearlift_adapters.stores.memory.tables import JobTableRow, MemoryDatabase
from clearlift_adapters.stores.timestamps import milliseconds
from clearlift_engine.overview import RunFact
from clearlift_engine.questions import (
    WRITTEN_LATE,
    Failing,
    JobCount,
    JobFact,
    Runs,
    Spent,
)
from clearlift_engine.stream import Entry


class MemoryQuestions:
    """The port Questions."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def recent_jobs(self, *, limit: int) -> Sequence[JobFact]:
        written = islice(reversed(self._db.jobs.values()), limit + WRITTEN_LATE)
        # Sorting keeps the order of what is alike: what was written last comes first.
        jobs = sorted(map(self._job, written), key=lambda job: -(job.created_at or 0))
        jobs.sort(key=lambda job: job.created_at is None)
        return jobs[:limit]

    async def jobs_by_status(self, *, since_ms: int) -> Sequence[JobCount]:
        counts = Counter(
            job.status
            for job in self._db.jobs.values()
            if (created_at := milliseconds(job.created_at)) is not None and created_at >= since_ms
        )
        statuses = sorted(counts, key=lambda status: (status is not None, status or ""))
        return [JobCount(status, counts[status]) for status in statuses]

    async def jobs(self, job_ids: Sequence[str]) -> Sequence[JobFact]:
        return [self._job(self._db.jobs[name]) for name in job_ids if name in self._db.jobs]

    async def failures(self, *, since_ms: int, more_than: int, limit: int) -> Sequence[Failing]:
        failed: dict[str, list[Entry]] = {}
        for _, entry in sorted(self._db.outbox.items()):
            if entry.transition == "sync_failed" and entry.occurred_at >= since_ms:
                failed.setdefault(entry.connection_id, []).append(entry)
        found = [entries for entries in failed.values() if len(entries) > more_than]
        found.sort(key=lambda entries: (-len(entries), -entries[-1].position))
        return [self._failing(entries) for entries in found[:limit]]

    async def runs(self, *, since_ms: int, command: str | None, limit: int) -> Runs:
        found = [
            run
            for run in self._db.runs.values()
            if run.started_at >= since_ms and command in (None, run.command)
        ]
        found.sort(key=lambda run: (run.started_at, run.id), reverse=True)
        facts = [fact(run) for run in found]
        return Runs(facts[:limit], _total(facts))

    async def life(self, connection_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        entries = [
            entry
            for _, entry in sorted(self._db.outbox.items())
            if entry.connection_id == connection_id and entry.version > after
        ]
        return entries if limit < 0 else entries[:limit]

    def _job(self, job: JobTableRow) -> JobFact:
        row = self._db.connection(job.connection_id)
        return JobFact(
            job.id,
            job.connection_id,
            None if row is None else row.platform,
            None if row is None else row.account_name,
            job.status,
            job.job_type,
            milliseconds(job.created_at),
            milliseconds(job.started_at),
            milliseconds(job.completed_at),
            job.records_synced,
            job.error_message,
        )

    def _failing(self, entries: Sequence[Entry]) -> Failing:
        newest = entries[-1]
        row, stream = (
            self._db.connection(newest.connection_id),
            self._db.stream(newest.connection_id),
        )
        return Failing(
            newest.connection_id,
            None if row is None else row.platform,
            None if row is None else row.account_name,
            len(entries),
            newest.occurred_at,
            newest.data,
            stream.state,
            stream.retry_at,
            stream.paused_at,
        )


def _total(runs: Sequence[RunFact]) -> Spent:
    return Spent(
        runs=len(runs),
        unfinished=sum(run.finished_at is None for run in runs),
        not_done=sum(run.finished_at is not None and run.outcome != "done" for run in runs),
        failed=sum(run.failed for run in runs),
        duration_ms=sum(run.duration_ms or 0 for run in runs),
        cpu_ms=sum(run.cpu_ms or 0 for run in runs),
    )
