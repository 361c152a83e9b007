"""The log and what it explains, read stream by stream, a page of connections at a time."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

import msgspec

from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import PROJECTED
from clearlift_adapters.stores.sql import Row
from clearlift_engine.ports import Fold, History, JobState
from clearlift_engine.stream import Entry, Stream

_SQL: Final = load("archive.sql")
_ALL: Final = tuple(bind(_SQL, name) for name in ("entries", "projections", "jobs", "connections"))
_OF_ONE: Final = tuple(
    bind(_SQL, name, "connection_id")
    for name in ("entries_of", "projections_of", "jobs_of", "connections_of")
)
POSITIONS: Final = bind(_SQL, "positions")
_FORGET: Final = bind(_SQL, "forget")
_REMEMBER: Final = bind(_SQL, "remember", *PROJECTED, "position")

_WRITTEN_AT_ONCE: Final = 500

# Where the connection's id stands in a row of the log, of the projection and of sync_jobs.
_ID_COLUMNS: Final = (1, 0, 2)


class SqliteArchive:
    """The port Archive."""

    def __init__(self, db: SqliteDatabase) -> None:
        self._db = db

    async def histories(
        self, connection_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[History]:
        async with self._db.transaction("DEFERRED") as moment:
            if connection_ids is None:
                async for history in _merged([moment.rows(query) for query in _ALL]):
                    yield history
                return
            for connection_id in sorted(set(connection_ids)):
                async for history in _merged([moment.rows(q, connection_id) for q in _OF_ONE]):
                    yield history

    async def positions(self) -> tuple[int, int]:
        [(count, highest)] = await self._db.read(POSITIONS)
        return count, highest

    async def rebuild(self, fold: Fold) -> int:
        streams = 0
        async with self._db.transaction("IMMEDIATE") as moment:
            await moment.write(_FORGET, [()])
            folded: list[Row] = []
            async for _, rows in _by_id(moment.rows(_ALL[0]), _ID_COLUMNS[0]):
                entries = [Entry(*row) for row in rows]
                folded.append((*msgspec.structs.astuple(fold(entries)), entries[-1].position))
                if len(folded) == _WRITTEN_AT_ONCE:
                    streams += await moment.write(_REMEMBER, folded)
                    folded.clear()
            streams += await moment.write(_REMEMBER, folded)
        return streams


async def _by_id(rows: AsyncIterator[Row], column: int) -> AsyncIterator[tuple[str, list[Row]]]:
    """Group rows that come ordered by an id."""
    group: list[Row] = []
    async for row in rows:
        if group and group[-1][column] != row[column]:
            yield group[-1][column], group
            group = []
        group.append(row)
    if group:
        yield group[-1][column], group


async def _merged(tables: Sequence[AsyncIterator[Row]]) -> AsyncIterator[History]:
    """Put together what three tables say of each connection that one of them knows."""
    *told, connections = tables
    groups = [_by_id(rows, column) for rows, column in zip(told, _ID_COLUMNS, strict=True)]
    heads = [await anext(group, None) for group in groups]
    there = await anext(connections, None)
    while any(heads):
        connection_id = min(head[0] for head in heads if head is not None)
        while there is not None and there[0] < connection_id:
            there = await anext(connections, None)
        found: list[list[Row]] = []
        for number, head in enumerate(heads):
            if head is None or head[0] != connection_id:
                found.append([])
                continue
            found.append(head[1])
            heads[number] = await anext(groups[number], None)
        exists = there is not None and there[0] == connection_id
        yield history(connection_id, *found, exists=exists)


def history(
    connection_id: str,
    entries: list[Row],
    projections: list[Row],
    jobs: list[Row],
    *,
    exists: bool,
) -> History:
    """Return a connection's history from its rows of the three tables."""
    projection = projections[0] if projections else None
    return History(
        connection_id,
        [Entry(*row) for row in entries],
        None if projection is None else Stream(*projection[:-1]),
        None if projection is None else projection[-1],
        [JobState(*row) for row in jobs],
        exists,
    )
