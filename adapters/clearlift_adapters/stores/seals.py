"""The log in the order of its positions, and the seals over it, read in pages."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.sql import Database, RefusedError, Row
from clearlift_engine.policy import iso
from clearlift_engine.seals import Heads, Problem, Seal
from clearlift_engine.stream import Entry

_SQL: Final = load("seals.sql")
_ROWS: Final = bind(_SQL, "rows", "after", "last", "limit")
_LAST_POSITION: Final = bind(_SQL, "last_position")
_STREAMS: Final = bind(_SQL, "streams", "after", "last", "limit")
_SEALS: Final = bind(_SQL, "seals", "after", "limit")
_LAST_SEAL: Final = bind(_SQL, "last_seal")
_HIGHEST_SEAL: Final = bind(_SQL, "highest_seal")
_KEEP_SEAL: Final = bind(_SQL, "keep_seal", "number", "sealed_at", "position", "seal")

ROWS_AT_ONCE: Final = 2_000
STREAMS_AT_ONCE: Final = 1_000
SEALS_AT_ONCE: Final = 4  # One may have 540 KB.


class SqliteSeals:
    """The log as it is sealed, and its seals, on any Database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last_position(self) -> int:
        """Return the highest position of the log; 0 if it is empty."""
        return int((await self._db.read(_LAST_POSITION))[0][0])

    async def rows(self, after: int, last: int) -> AsyncIterator[Entry]:
        """Yield the rows above `after`, up to `last`."""
        while page := await self._db.read(_ROWS, after, last, ROWS_AT_ONCE):
            for row in page:
                yield Entry(*row)
            after = page[-1][0]

    async def log_digest(self, last: int) -> str:
        """Return what `replay` would print as the digest if `last` were the last position."""
        heads, after = Heads(), None
        while page := await self._db.read(_STREAMS, after, last, STREAMS_AT_ONCE):
            for connection_id, version, row_hash in page:
                if version is not None:  # Else the stream began later.
                    heads.add(connection_id, version, row_hash)
            after = page[-1][0]
        return heads.digest

    async def seals(self, after: int = 0) -> AsyncIterator[Seal | Problem]:
        """Yield the seals above `after` in their order, and what is wrong with some."""
        while page := await self._db.read(_SEALS, after, SEALS_AT_ONCE):
            for row in page:
                yield _seal_in(row)
            after = page[-1][0]
        highest = await self.highest_seal()
        if highest > after:
            detail = (
                f"the database has given out the number {highest}, and its last seal is {after}"
            )
            yield Problem("seal_missing", detail)

    async def last_seal(self) -> Seal | Problem | None:
        """Return the newest seal, None if there is none."""
        page = await self._db.read(_LAST_SEAL)
        return _seal_in(page[0]) if page else None

    async def highest_seal(self) -> int:
        """Return the highest number that a seal was ever given, also if it is gone."""
        return int((await self._db.read(_HIGHEST_SEAL))[0][0])

    async def keep(self, seal: Seal, sealed_at: int) -> bool:
        """Store a seal; return False if another process has stored one of that number first."""
        text = msgspec.json.encode(seal).decode()
        try:
            await self._db.write([(_KEEP_SEAL, [(seal.number, sealed_at, seal.position, text)])])
        except RefusedError:
            return False
        return True


def _seal_in(row: Row) -> Seal | Problem:
    number, sealed_at, position, text = row
    try:
        seal, at = msgspec.json.decode(text, type=Seal), iso(sealed_at)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as exc:
        return Problem("seal_unreadable", f"seal {number} cannot be read: {exc}")
    if (seal.number, seal.position, seal.sealed_at) != (number, position, at):
        return Problem("seal_unreadable", f"the row of seal {number} is not what the seal says")
    return seal
