"""The log and what it explains, read stream by stream, a page of connections at a time."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any, Final

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

# Where the connection's id stands in a row of the log, the projection, the jobs, the connections.
_ID_COLUMNS: Final = (1, 0, 2, 0)
_Place = tuple[int, Any]  # Of an id, in SQLite's order: NULL, numbers, texts, bytes.


class SqliteArchive:
    """The port Archive."""

    def __init__(self, db: SqliteDatabase) -> None:
        self._db = db

    async def histories(
        self, connection_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[History]:
        async with self._db.transaction("DEFERRED") as moment:
            if connection_ids is None:
                async for page in _merged([moment.chunks(query) for query in _ALL]):
                    for history in page:
                        yield history
                return
            for connection_id in sorted(set(connection_ids)):
                async for page in _merged([moment.chunks(q, connection_id) for q in _OF_ONE]):
                    for history in page:
                        yield history

    async def positions(self) -> tuple[int, int]:
        [(count, highest)] = await self._db.read(POSITIONS)
        return count, highest

    async def rebuild(self, fold: Fold) -> int:
        streams = 0
        async with self._db.transaction("IMMEDIATE") as moment:
            await moment.write(_FORGET, [()])
            folded: list[Row] = []
            log = _Table(moment.chunks(_ALL[0]), _ID_COLUMNS[0])
            while (last := await log.look()) is not None:
                for rows in _by_id(log.take(last), _ID_COLUMNS[0]).values():
                    entries = [Entry(*row) for row in rows]
                    folded.append((*msgspec.structs.astuple(fold(entries)), entries[-1].position))
                if len(folded) >= _WRITTEN_AT_ONCE:
                    streams += await moment.write(_REMEMBER, folded)
                    folded.clear()
            streams += await moment.write(_REMEMBER, folded)
        return streams


class _Table:
    """One table whose rows come ordered by their connection's id."""

    def __init__(self, chunks: AsyncIterator[list[Row]], column: int) -> None:
        self._chunks, self._column = chunks, column
        self._held: list[Row] = []  # Of a connection that may go on in the next chunk.
        self.rows: list[Row] = []  # At hand: of each connection all there are.

    async def look(self) -> _Place | None:
        """Have rows at hand, if there are any left; return the place of the last of them."""
        if not self.rows:
            async for chunk in self._chunks:
                last, whole = chunk[-1][self._column], len(chunk)
                while whole and chunk[whole - 1][self._column] == last:
                    whole -= 1
                if whole:
                    self.rows, self._held = self._held + chunk[:whole], chunk[whole:]
                    break
                self._held += chunk
            else:
                self.rows, self._held = self._held, []
        return self._place(self.rows[-1]) if self.rows else None

    def take(self, last: _Place) -> list[Row]:
        """Return the rows at hand up to those of a place."""
        if self.rows and self._place(self.rows[-1]) == last:  # Whatever order the others are in.
            end = len(self.rows)
        else:
            end = bisect_right(self.rows, last, key=self._place)
        taken, self.rows = self.rows[:end], self.rows[end:]
        return taken

    def _place(self, row: Row) -> _Place:
        return _place_of(row[self._column])


async def _merged(chunks: Sequence[AsyncIterator[list[Row]]]) -> AsyncIterator[Iterator[History]]:
    """Read four tables side by side; what is in memory are some chunks of each."""
    tables = [_Table(each, column) for each, column in zip(chunks, _ID_COLUMNS, strict=True)]
    while ends := [end for table in tables if (end := await table.look()) is not None]:
        last = min(ends)
        yield joined(*(table.take(last) for table in tables))


def joined(
    entries: Sequence[Row],
    projections: Sequence[Row],
    jobs: Sequence[Row],
    connections: Sequence[Row],
) -> Iterator[History]:
    """Put together what three tables say of each connection that one of them knows."""
    streams, projected, made = (
        _by_id(rows, column)
        for rows, column in zip((entries, projections, jobs), _ID_COLUMNS, strict=False)
    )
    there = {row[0] for row in connections}
    for connection_id in sorted(streams.keys() | projected.keys() | made.keys(), key=_place_of):
        projection = projected[connection_id][0] if connection_id in projected else None
        yield History(
            connection_id if isinstance(connection_id, str) else repr(connection_id),
            list(starmap(Entry, streams.get(connection_id, ()))),
            None if projection is None else Stream(*projection[:-1]),
            None if projection is None else projection[-1],
            list(starmap(JobState, made.get(connection_id, ()))),
            connection_id in there,
        )


def _place_of(connection_id: object) -> _Place:
    """Return where SQLite sorts an id; in a damaged row it may be no text."""
    match connection_id:
        case str():
            return 2, connection_id
        case bytes():
            return 3, connection_id
        case None:
            return 0, 0
        case _:
            return 1, connection_id


def _by_id(rows: Sequence[Row], column: int) -> Mapping[Any, list[Row]]:
    found = defaultdict[Any, list[Row]](list)
    for row in rows:
        found[row[column]].append(row)
    return found
