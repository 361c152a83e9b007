"""The archive over a database that answers requests: D1.

A page is whole streams, as many as have EVENTS_AT_ONCE rows, and one batch reads all of it. So each
stream is seen as of one moment, though not all of them as of the same.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Final

import msgspec

from clearlift_adapters.stores.archive import POSITIONS, joined
from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import PROJECTED
from clearlift_adapters.stores.sql import Database, Row
from clearlift_engine.ports import Fold, History

_SQL: Final = load("paged.sql")
_KNOWN: Final = bind(_SQL, "known", "after", "limit")
_ENTRIES: Final = bind(_SQL, "entries_between", "first", "last")
_PROJECTIONS: Final = bind(_SQL, "projections_between", "first", "last")
_JOBS: Final = bind(_SQL, "jobs_between", "first", "last")
_CONNECTIONS: Final = bind(_SQL, "connections_between", "first", "last")
_UNEXPLAINED: Final = bind(_SQL, "unexplained", "limit")
_FORGET: Final = bind(_SQL, "forget_one")
_REMEMBER: Final = bind(_SQL, "remember_one", *PROJECTED, "position")

EVENTS_AT_ONCE: Final = 5_000
STREAMS_AT_ONCE: Final = 500
UNEXPLAINED_MAX: Final = 10_000


class PagedArchive:
    """The port Archive."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def histories(
        self, connection_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[History]:
        unexplained = await self._db.read(_UNEXPLAINED, UNEXPLAINED_MAX)
        pages = self._pages() if connection_ids is None else _each(sorted(set(connection_ids)))
        end = ""
        async for first, last in pages:
            for found in await self._between(first, last, unexplained):
                yield found
            end = last
        if connection_ids is None:  # What comes after all that the log knows.
            rest = [row for row in unexplained if row[2] > end]
            there = [(row[2],) for row in rest]  # For a foreign key says so.
            for found in joined([], [], rest, there):
                yield found

    async def positions(self) -> tuple[int, int]:
        [(count, highest)] = await self._db.read(POSITIONS)
        return count, highest

    async def rebuild(self, fold: Fold) -> int:
        """Rebuild stream by stream, after all of them were folded once to see that they can be.

        No transaction of D1 holds a whole projection; each stream changes as one.
        """
        async for found in self.histories():
            if found.entries:
                fold(found.entries)
        streams = 0
        await self._db.write([(_FORGET, [()])])
        folded: list[Row] = []
        async for found in self.histories():
            if found.entries:
                position = found.entries[-1].position
                folded.append((*msgspec.structs.astuple(fold(found.entries)), position))
                streams += 1
            if len(folded) == STREAMS_AT_ONCE:
                await self._db.write([(_REMEMBER, folded)])
                folded = []
        await self._db.write([(_REMEMBER, folded)])
        return streams

    async def _pages(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the first and the last id of each page; together they leave out no id there is."""
        first, after = "", None
        while rows := await self._db.read(_KNOWN, after, STREAMS_AT_ONCE):
            events = 0
            for connection_id, version in rows:
                events += version
                after = connection_id
                if events >= EVENTS_AT_ONCE or connection_id == rows[-1][0]:
                    yield first, connection_id
                    first, events = _next(connection_id), 0

    async def _between(
        self, first: str, last: str, unexplained: Sequence[Row]
    ) -> Iterator[History]:
        queries = (_ENTRIES, _PROJECTIONS, _JOBS, _CONNECTIONS)
        entries, projections, jobs, connections = await asyncio.gather(
            *(self._db.read(query, first, last) for query in queries)
        )
        jobs += [row for row in unexplained if first <= row[2] <= last]
        return joined(entries, projections, jobs, connections)


def _next(text: str) -> str:
    """Return the text that comes right after `text` in the order of bytes."""
    return text + "\0"


async def _each(connection_ids: Sequence[str]) -> AsyncIterator[tuple[str, str]]:
    for connection_id in connection_ids:
        yield connection_id, connection_id
