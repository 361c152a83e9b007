"""The port Archive over plain dicts."""

from collections.abc import AsyncGenerator, Mapping, Sequence

import msgspec

from clearlift_adapters.stores.memory.tables import JobTableRow, MemoryDatabase, Projected
from clearlift_engine.ports import Fold, History, JobState
from clearlift_engine.stream import Entry


class MemoryArchive:
    """The port Archive."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def histories(
        self, connection_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[History]:
        wanted = None if connection_ids is None else set(connection_ids)
        for history in self._histories():  # All at once: that is the one moment.
            if wanted is None or history.connection_id in wanted:
                yield history

    async def positions(self) -> tuple[int, int]:
        return len(self._db.outbox), self._db.highest_position

    async def rebuild(self, fold: Fold) -> int:
        rebuilt = {
            connection_id: Projected(fold(entries), entries[-1].position)
            for connection_id, entries in self._streams().items()
        }
        self._db.state = rebuilt
        return len(rebuilt)

    def _streams(self) -> Mapping[str, Sequence[Entry]]:
        streams: dict[str, list[Entry]] = {}
        for entry in self._db.outbox.values():
            streams.setdefault(entry.connection_id, []).append(entry)
        for entries in streams.values():
            entries.sort(key=lambda entry: entry.version)
        return streams

    def _histories(self) -> Sequence[History]:
        streams, state = self._streams(), dict(self._db.state)
        there = {row.id for row in self._db.connections.values()}
        jobs: dict[str, list[JobState]] = {}
        for job in self._db.jobs.values():
            jobs.setdefault(job.connection_id, []).append(_state_of(job))
        return [
            msgspec.structs.replace(
                _history(connection_id, streams, state, jobs),
                connection_exists=connection_id in there,
            )
            for connection_id in sorted({*streams, *state, *jobs}, key=str.encode)
        ]


def _history(
    connection_id: str,
    streams: Mapping[str, Sequence[Entry]],
    state: Mapping[str, Projected],
    jobs: Mapping[str, Sequence[JobState]],
) -> History:
    projected = state.get(connection_id)
    return History(
        connection_id,
        streams.get(connection_id, ()),
        None if projected is None else projected.stream,
        None if projected is None else projected.position,
        jobs.get(connection_id, ()),
    )


def _state_of(job: JobTableRow) -> JobState:
    return JobState(
        job.id,
        job.organization_id,
        job.connection_id,
        job.status,
        job.job_type,
        None if job.created_at is None else str(job.created_at),
        job.metadata,
    )
