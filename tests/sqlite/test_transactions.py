"""One writer, one transaction at a time, and each of them whole or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.queries import BLOCK, bind
from clearlift_adapters.stores.sql import RefusedError
from clearlift_engine.errors import UnavailableError
from tests.sqlite.notes import ADD, ALL, adding, ids_in, notes, notes_file

if TYPE_CHECKING:
    from sqlite3 import Connection

_SQL: Final = {"many": "INSERT INTO notes (id, text)\nVALUES (:id, :text)"}
MANY: Final = bind(_SQL, "many", "id", "text")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return notes_file(tmp_path / "notes.db")


@pytest.fixture
async def db(file: Path) -> AsyncIterator[SqliteDatabase]:
    async with notes(file) as opened:
        yield opened


@pytest.fixture
def other(file: Path) -> Iterator["Connection"]:
    """Open a second connection, as another process would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        yield raw


async def in_a_transaction(db: SqliteDatabase) -> None:
    async with db.transaction("IMMEDIATE") as moment:
        await moment.write(ADD, [(1, "one"), (2, "two")])


async def in_one_write(db: SqliteDatabase) -> None:
    await db.write(adding(1, 2))


async def turns() -> None:
    """Let every other task go on as far as it can without the database."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_steps_of_a_write_are_all_done_or_none(db: SqliteDatabase) -> None:
    await db.write(adding(1))

    with pytest.raises(RefusedError):
        await db.write([*adding(2, 3), (ADD, [(4, "four"), (1, "taken"), (5, "five")])])

    assert await ids_in(db) == [1]


async def test_write_counts_the_rows_that_each_step_changed(db: SqliteDatabase) -> None:
    changed = await db.write([(ADD, []), (ADD, [(1, "one"), (2, "two")]), *adding(3)])

    assert changed == [0, 2, 1]


@pytest.mark.parametrize("count", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 2])
async def test_rows_of_values_are_all_written_in_their_order(
    db: SqliteDatabase, count: int
) -> None:
    rows = [(number, f"note {number}") for number in range(count, 0, -1)]

    [changed] = await db.write([(MANY, rows)])

    assert changed == count
    assert await db.read(ALL) == sorted(rows)


async def test_one_row_that_is_refused_takes_all_of_its_block_with_it(db: SqliteDatabase) -> None:
    rows: list[tuple[int, str | None]] = [(number, "note") for number in range(2 * BLOCK)]
    rows[BLOCK + 3] = (BLOCK + 3, None)

    with pytest.raises(RefusedError):
        await db.write([(MANY, rows)])

    assert await ids_in(db) == []


async def test_transaction_whose_body_fails_leaves_nothing(db: SqliteDatabase) -> None:
    async def work() -> None:
        async with db.transaction("IMMEDIATE") as moment:
            await moment.write(ADD, [(1, "one")])
            raise LookupError

    with pytest.raises(LookupError):
        await work()

    await db.write(adding(2))
    assert await ids_in(db) == [2]


async def test_refused_write_of_one_task_takes_nothing_of_anothers_with_it(
    db: SqliteDatabase,
) -> None:
    writes = [db.write(adding(number)) for number in range(10)]
    bad = [db.write([*adding(100 + number), (ADD, [(0, None)])]) for number in range(10)]
    mixed = [each for pair in zip(writes, bad, strict=True) for each in pair]

    outcomes = await asyncio.gather(*mixed, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [list, RefusedError] * 10
    assert await ids_in(db) == list(range(10))


async def test_task_waits_for_the_transaction_of_another(db: SqliteDatabase) -> None:
    async with db.transaction("IMMEDIATE") as moment:
        await moment.write(ADD, [(1, "one")])
        write = asyncio.create_task(db.write(adding(2)))
        read = asyncio.create_task(ids_in(db))
        await turns()
        assert not write.done()
        assert not read.done()

    await write
    assert await read == [1, 2]


@pytest.mark.parametrize("work", [in_one_write, in_a_transaction])
async def test_cancelled_task_waits_for_its_transaction_to_end(
    db: SqliteDatabase, other: "Connection", work: Callable[[SqliteDatabase], Awaitable[None]]
) -> None:
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.ensure_future(work(db))
    await turns()

    task.cancel()
    await turns()
    task.cancel()  # Some cancel twice: a deadline, and then the end of the program.
    await turns()

    assert not task.done()
    other.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ids_in(db) in ([], [1, 2])


@pytest.mark.parametrize("work", [in_one_write, in_a_transaction])
async def test_database_is_free_and_usable_once_a_cancelled_task_is_gone(
    db: SqliteDatabase, other: "Connection", work: Callable[[SqliteDatabase], Awaitable[None]]
) -> None:
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.ensure_future(work(db))
    await turns()
    task.cancel()
    other.execute("ROLLBACK")
    await asyncio.wait([task])

    other.execute("INSERT INTO notes VALUES (10, 'from another process')")
    await db.write(adding(11))

    assert (await ids_in(db))[-2:] == [10, 11]


async def test_task_that_is_cancelled_in_its_transaction_leaves_nothing(
    db: SqliteDatabase,
) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with db.transaction("IMMEDIATE") as moment:
            await moment.write(ADD, [(1, "one")])
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])

    assert await ids_in(db) == []
    await db.write(adding(2))


async def test_locked_database_is_unavailable_when_the_timeout_is_over(
    file: Path, other: "Connection"
) -> None:
    async with notes(file, busy_ms=10) as db:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(UnavailableError, match="database is locked"):
            await db.write(adding(1))

        other.execute("ROLLBACK")
        await db.write(adding(2))
        assert await ids_in(db) == [2]


async def test_locked_database_is_waited_for_within_the_timeout(
    db: SqliteDatabase, other: "Connection"
) -> None:
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(db.write(adding(1)))
    await turns()
    assert not task.done()

    other.execute("COMMIT")

    assert await task == [1]


async def test_deferred_transaction_sees_one_moment_while_others_write(
    db: SqliteDatabase, other: "Connection"
) -> None:
    await db.write(adding(1))

    async with db.transaction("DEFERRED") as moment:
        before = [chunk async for chunk in moment.chunks(ALL)]
        if (await journal(other)) == "wal":  # With a rollback journal a writer would have to wait.
            other.execute("INSERT INTO notes VALUES (2, 'late')")
        after = [chunk async for chunk in moment.chunks(ALL)]

    assert after == before


async def journal(other: "Connection") -> str:
    [(mode,)] = other.execute("PRAGMA journal_mode").fetchall()
    return str(mode)
