"""One SQLite file over aiosqlite: reads, and transactions that are whole or not at all.

One connection a process, one transaction at a time. aiosqlite runs a statement to its end even if
the task that awaited it is cancelled, and tasks that share a connection would share a transaction;
so a lock keeps them apart, and a cancelled task waits for its transaction to end before it goes.
A transaction is one hop into aiosqlite's thread and back, whatever the number of its statements.

`synchronous=EXTRA`: with NORMAL, a power cut loses transactions that were reported as committed;
with FULL too, where there is a rollback journal. With the write-ahead log the two are the same.
`BEGIN IMMEDIATE`: a deferred transaction that turns into a writer fails at once if another wrote in
between, whatever the busy timeout.
"""

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar, cast
from urllib.parse import quote

import aiosqlite

from clearlift_adapters.stores.library import OLDEST, VERSION, sqlite3, wal_is_safe
from clearlift_adapters.stores.queries import BLOCK, Query
from clearlift_adapters.stores.refusals import Place, ensure_file, translated
from clearlift_adapters.stores.sql import Row, Step, Value
from clearlift_engine.errors import ConfigurationError, UnavailableError

Mode = Literal["rwc", "rw", "ro"]
T = TypeVar("T")

BUSY_MS: Final = 60_000  # Longer than any transaction of ours, shorter than a tick.
_NOT_UTF8: Final = "Could not decode to UTF-8"
_CHUNK: Final = 500  # Rows a thread hop brings; a hop costs as much as reading some fifty.
_BEGIN: Final = {"DEFERRED": "BEGIN DEFERRED", "IMMEDIATE": "BEGIN IMMEDIATE"}
_JOURNALS: Final = {"wal": "PRAGMA journal_mode = WAL", "delete": "PRAGMA journal_mode = DELETE"}
_SYNCHRONOUS_FULL: Final = 2
_PRAGMAS: Final = (
    # FULL, and the removal of a rollback journal is synced too: else the journal may be there again
    # after a power cut, and take back what was committed (https://sqlite.org/pragma.html).
    "PRAGMA synchronous = EXTRA",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # Without it INSERT OR REPLACE walks past the triggers.
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -8000",  # KiB.
    # Pages of the log until they are copied home: a batch writes some thousand, and with the
    # default of 1,000 every batch would pay for the copy, and for a sync of the whole file.
    "PRAGMA wal_autocheckpoint = 4000",
)


class SqliteDatabase:
    """An open SQLite file."""

    def __init__(self, db: aiosqlite.Connection, path: Path) -> None:
        self._db = db
        self._lock = asyncio.Lock()
        self.path, self._place = path, Place(path)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, mode: Mode, *, busy_ms: int | None = None
    ) -> AsyncGenerator[Self]:
        """Open `path`; create it, readable by its owner alone, if `mode` is rwc.

        Whoever finds it locked waits for `busy_ms`, by default BUSY_MS, and then it is unavailable.

        Raises:
            ConfigurationError: there is no such file, or the SQLite library is too old.
            UnavailableError: the file cannot be opened now.
        """
        if VERSION < OLDEST:
            raise ConfigurationError(
                f"SQLite {'.'.join(map(str, VERSION))} is too old: 3.38 or newer is needed; "
                "install the package pysqlite3"
            )
        ensure_file(path, mode)
        uri = f"file:{quote(os.fsencode(path))}?mode={'rw' if mode == 'rwc' else mode}"
        with translated(path):
            # Not in aiosqlite's thread: if it fails there, the thread may outlive the event loop.
            raw = _connect(uri, BUSY_MS if busy_ms is None else busy_ms)
        db = aiosqlite.Connection(lambda: raw, 64)
        try:
            # Begun and ended as a whole, even if cancelled: else its thread outlives the loop.
            await _to_the_end(_begun(db))
            database = cls(db, path)
            await database.prepare(mode)
            yield database
        finally:
            await _to_the_end(db.close())

    async def prepare(self, mode: Mode) -> None:
        """Set what every connection of ours relies on."""
        with translated(self.path):
            await self._in_one_hop(_set_pragmas)
            if mode == "ro":
                await self._db.execute("PRAGMA query_only = ON")
                return
            await self._choose_journal()

    async def _choose_journal(self) -> None:
        wanted = "wal" if wal_is_safe() else "delete"
        [(mode,)] = _rows(await self._db.execute_fetchall("PRAGMA journal_mode"))
        if mode == wanted:
            return
        try:
            [(mode,)] = _rows(await self._db.execute_fetchall(_JOURNALS[wanted]))
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc):  # By another process: then the journal stays as it is.
                raise
        if mode == "wal" and not wal_is_safe():
            raise UnavailableError(
                f"{self.path} is in WAL mode, which SQLite {sqlite3.sqlite_version} may corrupt, "
                "and another process keeps it there: stop the others, or install pysqlite3"
            )

    @contextmanager
    def _in_place(self) -> Generator[None]:
        """Ask SQLite something about the file that was opened, if it still is where it was."""
        self._place.check()
        with translated(self.path):
            yield

    async def read(self, query: Query, *parameters: Value) -> list[Row]:
        """Return all rows of one query."""
        async with self._lock:
            return await _to_the_end(self._fetch(query.sql, parameters))

    async def write(self, steps: Sequence[Step]) -> list[int]:
        """Run each step once for every row it has, all in one transaction.

        Return how many rows of the database each step changed.

        Raises:
            RefusedError: a constraint or a trigger refused; nothing was done.
        """
        return await self.transact(lambda transaction: transaction.write(steps))

    async def transact(self, work: Callable[["Transaction"], T]) -> T:
        """Do `work` in one write transaction, in the thread of the database.

        Raises:
            RefusedError: a constraint or a trigger refused; nothing was done.
        """
        async with self._lock:
            return await _to_the_end(self._transact(work))

    async def _transact(self, work: Callable[["Transaction"], T]) -> T:
        with self._in_place():
            return await self._in_one_hop(partial(_transacted, work=work))

    async def _in_one_hop(self, work: Callable[["sqlite3.Connection"], T]) -> T:
        """Do all of `work` in the thread of the database: a hop takes as long as ten statements."""
        db: Any = self._db
        done: T = await db._execute(work, db._conn)  # noqa: SLF001  aiosqlite has no public way
        return done

    @asynccontextmanager
    async def transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> AsyncGenerator["Moment"]:
        """Hold one transaction open: DEFERRED to read as of one moment, IMMEDIATE to write too."""
        async with self._lock:
            with self._in_place():
                try:
                    await _to_the_end(self._db.execute(_BEGIN[kind]))
                    async with _moment(self._db, self._run) as moment:
                        yield moment
                    await _to_the_end(self._db.commit())
                except BaseException:
                    await _to_the_end(self._db.rollback())
                    raise

    async def _fetch(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        with self._in_place():
            try:
                return await self._in_one_hop(partial(_fetched, sql=sql, parameters=parameters))
            except sqlite3.OperationalError as exc:
                if _NOT_UTF8 not in str(exc):
                    raise
            # Some other program stored bytes that are no UTF-8. Read what can be read.
            self._db.text_factory = _lenient
            try:
                return await self._in_one_hop(partial(_fetched, sql=sql, parameters=parameters))
            finally:
                self._db.text_factory = str

    async def _run(self, query: Query, rows: Sequence[Sequence[Value]]) -> int:
        return await self._in_one_hop(partial(_run, query=query, rows=rows))


class Moment:
    """What can be done inside `SqliteDatabase.transaction`."""

    def __init__(
        self,
        db: aiosqlite.Connection,
        run: Callable[[Query, Sequence[Sequence[Value]]], Awaitable[int]],
    ) -> None:
        self._db, self._run = db, run
        self._read: list[AsyncGenerator[list[Row]]] = []

    async def close(self) -> None:
        """End what was not read to its end: who is interrupted leaves it to nobody."""
        for chunks in self._read:
            await chunks.aclose()

    async def chunks(self, query: Query, *parameters: Value) -> AsyncIterator[list[Row]]:
        """Yield the rows of one query, as many at a time as a hop brings."""
        seen = 0
        try:
            async for chunk in self._chunks(query, parameters):
                yield chunk
                seen += len(chunk)
        except sqlite3.OperationalError as exc:
            if _NOT_UTF8 not in str(exc):
                raise
        else:
            return
        # Begin again, reading what can be read, and go on where it stopped.
        self._db.text_factory = _lenient
        try:
            async for chunk in self._chunks(query, parameters):
                if len(chunk) > seen:
                    yield chunk[seen:]
                seen = max(seen - len(chunk), 0)
        finally:
            self._db.text_factory = str

    def _chunks(self, query: Query, parameters: Sequence[Value]) -> AsyncGenerator[list[Row]]:
        chunks = self._fetched(query, parameters)
        self._read.append(chunks)
        return chunks

    async def _fetched(
        self, query: Query, parameters: Sequence[Value]
    ) -> AsyncGenerator[list[Row]]:
        async with self._db.execute(query.sql, parameters) as cursor:
            while chunk := _rows(await cursor.fetchmany(_CHUNK)):
                yield chunk

    async def write(self, query: Query, rows: Sequence[Sequence[Value]]) -> int:
        """Run one statement for every row; return how many rows of the database changed."""
        return await self._run(query, rows)


@asynccontextmanager
async def _moment(
    db: aiosqlite.Connection, run: Callable[[Query, Sequence[Sequence[Value]]], Awaitable[int]]
) -> AsyncGenerator[Moment]:
    moment = Moment(db, run)
    try:
        yield moment
    finally:
        await _to_the_end(moment.close())


def _set_pragmas(db: "sqlite3.Connection") -> None:
    for pragma in _PRAGMAS:
        db.execute(pragma)
    [(synchronous,)] = db.execute("PRAGMA synchronous").fetchall()
    if synchronous < _SYNCHRONOUS_FULL:
        raise ConfigurationError(
            f"this SQLite stays at synchronous={synchronous}: a power cut would lose what was "
            "committed; install pysqlite3"
        )


def _fetched(db: "sqlite3.Connection", sql: str, parameters: Sequence[Value]) -> list[Row]:
    """Return all rows, or leave nothing of the attempt.

    A cursor that failed would live on, in the traceback, until the collector takes it apart; and
    that resets its statement, which by then answers the next who asked the same.
    """
    with closing(db.execute(sql, parameters)) as cursor:
        return _rows(cursor.fetchall())


class Transaction:
    """A write transaction, as what runs in the thread of the database sees it."""

    def __init__(self, db: "sqlite3.Connection") -> None:
        self._db = db

    def read(self, query: Query, rows: Sequence[Sequence[Value]]) -> list[Row]:
        """Return what a query says of all rows, asked about as many at a time as it takes."""
        found: list[Row] = []
        for sql, asked in _blockwise(query, rows):
            for parameters in asked:
                found += _rows(self._db.execute(sql, parameters))
        return found

    def newest_rowid(self) -> int:
        """Return the rowid of the row that was inserted last."""
        [(rowid,)] = self._db.execute("SELECT last_insert_rowid()")
        return int(rowid)

    def write(self, steps: Sequence[Step]) -> list[int]:
        """Run each step once for every row it has; return how many rows each changed."""
        return [_run(self._db, query, rows) for query, rows in steps]


def _transacted(db: "sqlite3.Connection", work: Callable[[Transaction], T]) -> T:
    """Do all of `work`, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        done = work(Transaction(db))
        db.commit()
    except BaseException:
        db.rollback()
        raise
    return done


def _run(db: "sqlite3.Connection", query: Query, rows: Sequence[Sequence[Value]]) -> int:
    """Run one statement for every row; return how many rows of the database changed."""
    changed = 0
    for sql, ready in _blockwise(query, rows):
        # One may also be of what is no INSERT, UPDATE or DELETE, which executemany does not take.
        one = len(ready) == 1
        changed += _changed_by(db.execute(sql, ready[0]) if one else db.executemany(sql, ready))
    return changed


def _blockwise(
    query: Query, rows: Sequence[Sequence[Value]]
) -> Iterator[tuple[str, Sequence[Sequence[Value]]]]:
    """Yield which statement to run with what: for BLOCK rows at once, and for each of the rest."""
    whole = 0 if query.block is None else len(rows) // BLOCK * BLOCK
    if query.block is not None and whole:
        yield query.block, [tuple(chain(*rows[at : at + BLOCK])) for at in range(0, whole, BLOCK)]
    if len(rows) > whole:
        yield query.sql, rows[whole:] if whole else rows


def _changed_by(cursor: "sqlite3.Cursor") -> int:
    changed = max(cursor.rowcount, 0)
    cursor.close()
    return changed


def statements(script: str) -> Iterator[str]:
    """Split a script where SQLite says that a statement is complete."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _rows(fetched: Iterable[object]) -> list[Row]:
    """Return what aiosqlite calls sqlite3.Row: without a row factory they are plain tuples."""
    return cast("list[Row]", fetched)


def _lenient(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _connect(uri: str, busy_ms: int) -> "sqlite3.Connection":
    return sqlite3.connect(
        uri, uri=True, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False
    )


async def _begun(db: aiosqlite.Connection) -> None:
    await db


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; if this task is cancelled meanwhile, let the work end first."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            # Whoever is impatient and cancels once more waits all the same.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise
