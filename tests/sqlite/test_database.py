"""Opening a SQLite file: what is set, what is made, and what is said when it cannot be."""

import gc
import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from clearlift_adapters.backend import open_backend
from clearlift_adapters.stores import database
from clearlift_adapters.stores.database import BUSY_MS, Mode, SqliteDatabase
from clearlift_adapters.stores.library import sqlite3, wal_is_safe
from clearlift_adapters.stores.queries import Query
from clearlift_engine.errors import ConfigurationError, UnavailableError
from tests.given import DUE, NOW_MS, SCHEDULE, commit, take
from tests.seed import Seed, SqliteTables
from tests.sqlite.foreign import copy_of
from tests.sqlite.notes import ADD, ALL, adding, ids_in, notes, notes_file

ODD_NAMES = (
    *("what?.db", "a#b.db", "100%.db", "%41.db", "with space.db", 'quote\'s "two".db'),
    *("данные.db", "日本.db", "\U0001f680.db", "a&b=c;d.db", "file:x.db", "back\\slash.db"),
)
KINDS = ("text", "zeros", "a folder")
# Opens the file that is named by its argument with Python's own SQLite, as where there is no wheel.
WITH_THE_STANDARD_LIBRARY = """
import asyncio, sys
from pathlib import Path
sys.modules["pysqlite3.dbapi2"] = None
from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.library import wal_is_safe
from clearlift_adapters.stores.queries import Query
from clearlift_engine.errors import UnavailableError

async def main():
    try:
        async with SqliteDatabase.open(Path(sys.argv[1]), "rw", busy_ms=100) as db:
            print(wal_is_safe(), *(await db.read(Query("", "PRAGMA journal_mode")))[0])
    except UnavailableError as exc:
        print(wal_is_safe(), exc)

asyncio.run(main())
"""


async def pragma(db: SqliteDatabase, name: str) -> str | int:
    [(setting,)] = await db.read(Query(name, f"PRAGMA {name}"))
    assert isinstance(setting, str | int)
    return setting


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def opened_by_the_standard_library(file: Path) -> list[str]:
    script = [sys.executable, "-c", WITH_THE_STANDARD_LIBRARY, str(file)]
    return subprocess.run(script, capture_output=True, text=True, check=True).stdout.split(" ", 1)


async def test_new_file_is_its_owners_alone_and_so_is_what_stands_beside_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with SqliteDatabase.open(tmp_path / "new.db", "rwc") as db:
            await db.write([(Query("make", "CREATE TABLE t (x)"), [()])])

            modes = {file.name: mode_of(file) for file in files_in(tmp_path)}
    finally:
        os.umask(before)

    assert modes["new.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert wal_is_safe() == ("new.db-wal" in modes)


async def test_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    file = notes_file(tmp_path / "shared.db")
    file.chmod(0o660)

    async with notes(file, "rwc") as db:
        await db.write(adding(1))

    assert mode_of(file) == 0o660


@pytest.mark.parametrize("mode", ["rw", "rwc"])
async def test_writer_has_every_pragma_that_the_rest_relies_on(tmp_path: Path, mode: Mode) -> None:
    async with SqliteDatabase.open(notes_file(tmp_path / "n.db"), mode) as db:
        names = ("synchronous", "foreign_keys", "recursive_triggers", "trusted_schema")
        found = [await pragma(db, name) for name in names]
        timeout_ms, journal = await pragma(db, "busy_timeout"), await pragma(db, "journal_mode")

    assert found == [3, 1, 1, 0]  # 3: EXTRA.
    assert timeout_ms == BUSY_MS
    assert journal == ("wal" if wal_is_safe() else "delete")


# https://sqlite.org/wal.html#the_wal_reset_bug: 3.7.0 to 3.51.2, mended in 3.51.3, and for those
# who stay behind in 3.50.7 and 3.44.6. (3.52.0 has the mend too, and was withdrawn for others.)
@pytest.mark.parametrize(
    ("version", "safe"),
    [
        *(((3, 7, 0), False), ((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True)),
        *(((3, 44, 99), True), ((3, 45, 0), False), ((3, 45, 7), False), ((3, 46, 1), False)),
        *(((3, 49, 9), False), ((3, 50, 6), False), ((3, 50, 7), True), ((3, 50, 8), True)),
        *(((3, 51, 0), False), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True)),
        *(((3, 53, 0), True), ((4, 0, 0), True)),
    ],
)
def test_wal_is_used_only_where_its_reset_is_mended(
    version: tuple[int, int, int], *, safe: bool
) -> None:
    assert wal_is_safe(version) is safe


def test_old_library_takes_a_file_out_of_wal(tmp_path: Path) -> None:
    file = notes_file(tmp_path / "n.db")
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")

    safe, journal = opened_by_the_standard_library(file)

    assert journal.strip() == ("wal" if safe == "True" else "delete")


def test_old_library_stays_away_from_a_file_that_another_process_keeps_in_wal(
    tmp_path: Path,
) -> None:
    file = notes_file(tmp_path / "n.db")
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("SELECT count(*) FROM notes").fetchall()

        safe, outcome = opened_by_the_standard_library(file)

    assert outcome.strip() == "wal" if safe == "True" else "install pysqlite3" in outcome


async def test_reader_writes_nothing_whatever_it_is_asked(tmp_path: Path) -> None:
    file = notes_file(tmp_path / "n.db")
    before = file.read_bytes()

    async with notes(file, "ro") as db:
        with pytest.raises(UnavailableError, match="readonly"):
            await db.write(adding(1))
        assert await ids_in(db) == []

    assert file.read_bytes() == before


@pytest.mark.parametrize("mode", ["rw", "ro"])
async def test_missing_file_is_a_matter_of_configuration_and_the_remedy_is_named(
    tmp_path: Path, mode: Mode
) -> None:
    with pytest.raises(ConfigurationError, match=r"create it with `clearlift-cron migrate`"):
        async with notes(tmp_path / "none.db", mode):
            pass

    assert files_in(tmp_path) == []


async def test_file_without_our_tables_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()

    async with open_backend(f"sqlite:///{tmp_path}/empty.db") as backend:
        with pytest.raises(ConfigurationError, match=r"run `clearlift-cron migrate`"):
            await backend.store.due(now_ms=NOW_MS, schedule=SCHEDULE, limit=1)


async def test_folder_that_is_not_there_cannot_hold_a_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory; make the directory"):
        async with notes(tmp_path / "no" / "such.db", "rwc"):
            pass


@pytest.mark.parametrize("mode", ["rwc", "rw", "ro"])
@pytest.mark.parametrize("content", [b"not a database" * 1_000, b"\0" * 4096, None], ids=KINDS)
async def test_what_is_no_database_is_not_taken_for_one(
    tmp_path: Path, mode: Mode, content: bytes | None
) -> None:
    path = tmp_path / "odd.db"
    path.mkdir() if content is None else path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"odd\.db"):
        async with notes(path, mode) as db:
            await ids_in(db)


async def test_file_of_a_format_that_nobody_has_written_yet_is_damaged(tmp_path: Path) -> None:
    file = notes_file(tmp_path / "odd.db")
    image = bytearray(file.read_bytes())
    image[47] ^= 0x80  # The number of the schema's format.
    file.write_bytes(image)

    with pytest.raises(ConfigurationError, match=r"unsupported file format; .* from a backup"):
        async with notes(file) as db:
            await db.read(ALL)


@pytest.mark.parametrize("mode", ["rw", "ro"])
async def test_file_that_lost_its_end_is_reported_and_not_written(
    tmp_path: Path, mode: Mode
) -> None:
    file = notes_file(tmp_path / "half.db")
    async with notes(file) as db:
        await db.write([(ADD, [(number, "x" * 2_000) for number in range(50)])])
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)

    with pytest.raises(UnavailableError, match=r"half\.db"):
        async with notes(file, mode) as db:
            await db.read(ALL)

    assert file.read_bytes() == half


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_path_may_have_any_characters(tmp_path: Path, name: str) -> None:
    async with SqliteDatabase.open(tmp_path / name, "rwc") as db:
        await db.write([(Query("make", "CREATE TABLE t (x)"), [()])])

    assert files_in(tmp_path) == [tmp_path / name]
    async with open_backend(f"sqlite:///{quote(str(tmp_path / name))}") as backend:
        assert await backend.db.read(Query("all", "SELECT x FROM t")) == []


@pytest.mark.parametrize("url", ["sqlite:///a.db?mode=ro", "sqlite:///a.db#1", "sqlite:///what?"])
async def test_url_with_what_looks_like_options_does_not_open_another_file(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write \? as %3F and # as %23"):
        async with open_backend(url, mode="rwc"):
            pass


async def test_path_may_be_no_utf8_at_all(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.db"))

    async with SqliteDatabase.open(path, "rwc") as db:
        await db.write([(Query("make", "CREATE TABLE t (x)"), [()])])

    assert files_in(tmp_path) == [path]


async def test_text_that_is_no_utf8_is_read_as_far_as_it_can_be(
    tmp_path: Path, empty_database: Path
) -> None:
    with closing(copy_of(empty_database, tmp_path / "c.db")) as raw:
        seed = Seed(SqliteTables(raw))
        seed.add_connection("a")
        seed.add_connection("b")
        raw.execute("UPDATE platform_connections SET account_name = CAST(x'41ff42' AS TEXT)")

    async with open_backend(f"sqlite:///{tmp_path}/c.db") as backend:
        rows = [row async for page in backend.connections.pages() for row in page]
        shown = await backend.connections.show("b")

    assert [row.account_name for row in rows] == ["A\ufffdB", "A\ufffdB"]
    assert shown is not None
    assert shown.account_name == "A\ufffdB"


async def test_text_that_is_no_utf8_leaves_nothing_that_a_collector_could_take_apart_later(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_while_it_collects(raw: bytes) -> str:
        gc.collect()
        return raw.decode(errors="replace")

    with closing(copy_of(empty_database, tmp_path / "c.db")) as raw:
        seed = Seed(SqliteTables(raw))
        for number in range(9):
            seed.add_connection(f"c{number}")
        raw.execute("UPDATE platform_connections SET scopes = CAST(x'ff' AS TEXT) WHERE id = 'c5'")
    ask = Query("ask", "SELECT id, scopes FROM platform_connections WHERE id >= ?1")

    async with SqliteDatabase.open(tmp_path / "c.db", "rw") as db:
        monkeypatch.setattr(database, "_lenient", read_while_it_collects)
        found = [await db.read(ask, after) for after in ("c0", "c1", "c0")]

    assert [[len(row) for row in rows] for rows in found] == [[2] * 9, [2] * 8, [2] * 9]


async def test_log_that_is_no_utf8_is_read_to_its_end_and_each_row_once(
    tmp_path: Path, empty_database: Path
) -> None:
    copy_of(empty_database, tmp_path / "c.db").close()
    async with open_backend(f"sqlite:///{tmp_path}/c.db") as backend:
        await take(backend.store, *(commit(f"c{number:04}", DUE) for number in range(1_200)))
        with closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as raw:
            raw.execute("DROP TRIGGER outbox_refuses_update")
            raw.execute("UPDATE outbox SET data = CAST(x'ff' AS TEXT) WHERE position = 700")

        found = [history async for history in backend.archive.histories()]

    assert [history.connection_id for history in found] == [f"c{n:04}" for n in range(1_200)]
    assert found[699].entries[0].data == "\ufffd"
    assert {len(history.entries) for history in found} == {1}


async def test_each_stream_comes_whole_however_its_rows_fall_into_what_is_read_at_once(
    tmp_path: Path, empty_database: Path
) -> None:
    lives = {"a": 499, "b": 1, "c": 1_001, "d": 500, "e": 2}
    with closing(copy_of(empty_database, tmp_path / "c.db")) as raw:
        raw.executemany(
            "INSERT INTO outbox (connection_id, version, transition, source, target, occurred_at,"
            " run_id, data, hash) VALUES (?, ?, 'paused', ?, 'due', 0, 'r', '{}', 'h')",
            (
                (name, version, None if version == 1 else "due")
                for name, events in lives.items()
                for version in range(1, events + 1)
            ),
        )
        raw.commit()
    async with open_backend(f"sqlite:///{tmp_path}/c.db") as backend:
        found = [history async for history in backend.archive.histories()]

    assert [history.connection_id for history in found] == list(lives)
    for history in found:
        versions = [entry.version for entry in history.entries]
        assert versions == list(range(1, lives[history.connection_id] + 1))
