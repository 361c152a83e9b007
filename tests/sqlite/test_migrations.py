"""migrate: everything on an empty database, and not one byte of theirs on somebody else's."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clearlift_adapters.migrations import MIGRATIONS, migrate, migration_names, pending
from clearlift_adapters.stores.database import SqliteDatabase, statements
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.errors import ConfigurationError, UnavailableError
from tests.sqlite.foreign import (
    ODD_TIMES,
    add_connection,
    foreign_database,
    rows_of,
    schema_of,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

SHARED = {
    *("organizations", "platform_connections", "sync_jobs", "onboarding_progress"),
    "connector_configs",
}
OURS = {
    *("outbox", "connection_state", "runs", "provider_gates", "leases", "connection_settings"),
    *("queue_messages", "credential_seals", "audit_seals", "notices"),
}
# The statement that wrangler sends, from packages/workers-utils of cloudflare/workers-sdk.
WRANGLERS_LEDGER = """CREATE TABLE IF NOT EXISTS "d1_migrations"(
\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,
\t\tname       TEXT UNIQUE,
\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
);"""
FILES = migration_names()
each_file = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clearlift.db"


@pytest.fixture
def theirs(file: Path) -> Iterator["Connection"]:
    with closing(foreign_database(file)) as raw:
        yield raw


async def migrated(file: Path, folder: Path | None = None) -> Sequence[str]:
    async with SqliteDatabase.open(file, "rwc") as db:
        return await (migrate(db) if folder is None else migrate(db, folder))


def opened(file: Path) -> "closing[Connection]":
    return closing(sqlite3.connect(file, isolation_level=None))


def command(file: Path, *arguments: str) -> "subprocess.Popen[str]":
    options = ("--database", f"sqlite:///{file}")
    return subprocess.Popen(
        [sys.executable, "-m", "clearlift_adapters.cli", *options, "migrate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def text_of(name: str) -> str:
    return MIGRATIONS.joinpath(name).read_text(encoding="utf-8")


async def test_empty_database_gets_our_tables_and_the_shared_ones(file: Path) -> None:
    applied = await migrated(file)

    assert applied == FILES
    with opened(file) as raw:
        tables = {name for name, sql in schema_of(raw).items() if "TABLE" in (sql or "")[:20]}
    assert tables == SHARED | OURS | {"d1_migrations"}


async def test_database_of_another_program_keeps_every_row_and_every_definition(
    file: Path, theirs: "Connection"
) -> None:
    schema, tables = schema_of(theirs), [*SHARED, "sessions"]
    rows = rows_of(theirs, tables)

    await migrated(file)

    after = schema_of(theirs)
    assert {name: after[name] for name in schema} == schema
    assert rows_of(theirs, tables) == rows
    assert all(rows.values()) is False  # Nobody has a session, and nobody got one.


async def test_only_our_own_tables_indexes_and_triggers_are_added(
    file: Path, theirs: "Connection"
) -> None:
    before = set(schema_of(theirs))

    await migrated(file)

    prefixes = (*OURS, "d1_migrations", "clearlift_")
    added = set(schema_of(theirs)) - before
    assert added >= OURS
    assert [name for name in added if not name.startswith(prefixes)] == []


async def test_other_programs_go_on_writing_whatever_they_like(
    file: Path, theirs: "Connection"
) -> None:
    await migrated(file)

    for number, odd in enumerate(ODD_TIMES):
        add_connection(theirs, f"later {number}", odd)
        theirs.execute("UPDATE platform_connections SET last_synced_at = ?1 WHERE id = 'c0'", [odd])
    theirs.execute("DELETE FROM platform_connections WHERE id = 'c0'")

    [(count,)] = theirs.execute("SELECT count(*) FROM platform_connections").fetchall()
    assert count == 2 * len(ODD_TIMES) - 1
    assert theirs.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_rows_of_today_are_in_the_index_as_the_query_reads_them(
    file: Path, theirs: "Connection"
) -> None:
    await migrated(file)

    theirs.execute("REINDEX")

    # Against the index, "rows missing from it" is what a changed clock would have led to.
    assert theirs.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_ledger_is_the_one_that_wrangler_makes(file: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as wrangler:
        wrangler.execute(WRANGLERS_LEDGER)
        columns = wrangler.execute("PRAGMA table_info(d1_migrations)").fetchall()
        text = schema_of(wrangler)["d1_migrations"]

    await migrated(file)

    with opened(file) as raw:
        assert raw.execute("PRAGMA table_info(d1_migrations)").fetchall() == columns
        assert schema_of(raw)["d1_migrations"] == (text or "").replace('"', "")
        ledger = raw.execute("SELECT id, name FROM d1_migrations ORDER BY id").fetchall()
    assert ledger == list(enumerate(FILES, start=1))


async def test_ledger_that_wrangler_filled_is_respected(file: Path) -> None:
    with opened(file) as raw:
        raw.execute(WRANGLERS_LEDGER)
        raw.execute("INSERT INTO d1_migrations (name) VALUES ('0001_init_of_the_api_worker.sql')")
        for name in FILES[:-1]:
            raw.executescript(text_of(name))
            raw.execute("INSERT INTO d1_migrations (name) VALUES (?)", (name,))

    applied = await migrated(file)

    assert applied == FILES[-1:]


async def test_migrating_twice_does_nothing_the_second_time(file: Path) -> None:
    await migrated(file)
    with opened(file) as raw:
        before = schema_of(raw), rows_of(raw, ["d1_migrations"])

    applied = await migrated(file)

    assert applied == []
    with opened(file) as raw:
        assert (schema_of(raw), rows_of(raw, ["d1_migrations"])) == before


def test_processes_that_migrate_at_once_all_succeed(file: Path) -> None:
    processes = [command(file, "--json") for _ in range(3)]

    outputs = [process.communicate() for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sorted(name in out for out, _ in outputs for name in FILES) == (
        [False] * 2 * len(FILES) + [True] * len(FILES)
    )


async def test_file_that_fails_leaves_nothing_behind_and_those_before_it_stand(
    file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_good.sql").write_text("CREATE TABLE good (id INTEGER);")
    bad = "CREATE TABLE half (id INTEGER);\nINSERT INTO half VALUES (1);\nCREATE TABLE good (x);"
    (folder / "0002_bad.sql").write_text(bad)

    with pytest.raises(UnavailableError):
        await migrated(file, folder)

    with opened(file) as raw:
        assert set(schema_of(raw)) == {"d1_migrations", "good"}
        assert raw.execute("SELECT name FROM d1_migrations").fetchall() == [("0001_good.sql",)]
    async with SqliteDatabase.open(file, "ro") as db:
        assert await pending(db, folder) == ["0002_bad.sql"]


async def test_file_that_was_mended_is_applied_the_next_time(file: Path, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id INTEGER);\nSELECT nonsense;")
    with pytest.raises(Exception, match="nonsense"):
        await migrated(file, tmp_path)

    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id INTEGER);")

    assert await migrated(file, tmp_path) == ["0001_a.sql"]


def test_dry_run_on_no_database_names_everything_and_creates_no_file(tmp_path: Path) -> None:
    process = command(tmp_path / "clearlift.db", "--dry-run")

    out, err = process.communicate()

    assert (process.returncode, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines()] == FILES
    assert list(tmp_path.iterdir()) == []


def test_dry_run_on_another_programs_database_changes_nothing(
    file: Path, theirs: "Connection"
) -> None:
    theirs.close()
    before = file.read_bytes()

    out, _ = command(file, "--dry-run").communicate()

    assert [line.split()[-1] for line in out.splitlines()] == FILES
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_dry_run_on_a_migrated_database_has_nothing_to_apply(file: Path) -> None:
    asyncio.run(migrated(file))
    before = file.read_bytes()

    out, _ = command(file, "--dry-run").communicate()

    assert out == "nothing to apply\n"
    assert file.read_bytes() == before
    wal = file.with_name(f"{file.name}-wal")
    assert not wal.exists() or wal.stat().st_size == 0


def test_files_are_named_as_wrangler_orders_them() -> None:
    names = sorted(entry.name for entry in MIGRATIONS.iterdir() if entry.name.endswith(".sql"))

    assert names == FILES
    assert len({name[:4] for name in names}) == len(names)
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)


@each_file
def test_file_is_split_into_statements_one_by_one(name: str) -> None:
    split = list(statements(text_of(name)))

    assert "".join(split) == text_of(name)
    heads = [re.sub(r"--.*", "", part).split() for part in split]
    assert all(head[0] in ("CREATE", "ALTER", "DROP") for head in heads)
    assert all(part.rstrip().endswith(";") for part in split)
    begun = re.findall(r"^(?:CREATE|ALTER|DROP) ", text_of(name), re.MULTILINE)
    assert len(begun) == len(split)


@each_file
def test_wrangler_and_d1_split_a_file_in_the_same_places(name: str) -> None:
    # They look for BEGIN and END in capitals, between LF line ends, and take the first END for the
    # trigger's own: one that closes a CASE cuts it short (cloudflare/workers-sdk#14991, #15163).
    triggers = [part for part in statements(text_of(name)) if "CREATE TRIGGER" in part]

    bodies = [re.sub(r"--.*", "", trigger) for trigger in triggers]
    assert all(len(re.findall(r"\sBEGIN\s", body)) == 1 for body in bodies)
    assert all(re.findall(r"(?i)\bEND\b.", body) == ["END;"] for body in bodies)
    assert not [body for body in bodies if re.search(r"(?i)\bCASE\b", body)]
    assert "\r" not in text_of(name)


@each_file
def test_comment_holds_nothing_that_d1_takes_for_sql(name: str) -> None:
    # A semicolon in a comment ends a statement there, and a quotation mark opens a text
    # (cloudflare/workers-sdk#3892, #4767, #4713).
    comments = re.findall(r"--.*", text_of(name))

    assert not [comment for comment in comments if ";" in comment]
    assert not [comment for comment in comments if any(comment.count(m) % 2 for m in "'\"`")]


@each_file
async def test_file_that_was_applied_in_part_may_come_again(file: Path, name: str) -> None:
    whole = file.with_name("whole.db")
    await migrated(whole)
    with opened(file) as raw:
        raw.execute(WRANGLERS_LEDGER)
        for before in FILES[: FILES.index(name)]:
            raw.executescript(text_of(before))
            raw.execute("INSERT INTO d1_migrations (name) VALUES (?)", (before,))
        raw.executescript(text_of(name))  # And its name is not noted.

    applied = await migrated(file)

    assert applied == FILES[FILES.index(name) :]
    with opened(file) as raw, opened(whole) as other:
        ours = set(schema_of(raw)) - {"d1_migrations"}
        assert {key: schema_of(raw)[key] for key in ours} == {
            key: schema_of(other)[key] for key in ours
        }


@each_file
def test_statement_that_cannot_be_repeated_is_alone_in_its_file(name: str) -> None:
    heads = [re.sub(r"--.*", "", part).split()[0] for part in statements(text_of(name))]

    assert "ALTER" not in heads or heads == ["ALTER"]


def test_statements_are_split_where_sqlite_ends_them_and_nowhere_else() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  SELECT ';';\n  SELECT 2;\nEND;\n"
    insert = "INSERT INTO a -- a comment; with a semicolon\nVALUES ('two\nlines;\n');\n"
    rest = "\n-- the end\n"

    split = list(statements(trigger + insert + rest))

    assert split == [trigger, insert, rest]


@pytest.mark.parametrize("table", ["runs", "outbox", "leases"])
async def test_table_of_another_program_with_a_name_of_ours_stops_everything(
    file: Path, theirs: "Connection", table: str
) -> None:
    theirs.execute(f"CREATE TABLE {table} (id TEXT, theirs TEXT)")
    schema = schema_of(theirs)

    with pytest.raises(ConfigurationError, match=f"a table '{table}' that is not this worker's"):
        await migrated(file)

    assert schema_of(theirs) == schema
