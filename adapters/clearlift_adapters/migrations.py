"""Applies schema/clearlift_schema/migrations in order, once each, every file in its own
transaction.

The ledger is wrangler's: the table `d1_migrations`, which holds the names of the files that were
applied. `clearlift-cron migrate` and `wrangler d1 migrations apply` over the same folder are
interchangeable.
"""

import re
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

import clearlift_schema
from clearlift_adapters.stores.database import statements
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.queries import Query, bind
from clearlift_adapters.stores.sql import Database, RefusedError, Step
from clearlift_engine.errors import ConfigurationError

# Wrangler's own table, column for column, so that the two ledgers are one.
_SQL: Final = {
    "ledger": """CREATE TABLE IF NOT EXISTS d1_migrations(
		id         INTEGER PRIMARY KEY AUTOINCREMENT,
		name       TEXT UNIQUE,
		applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)""",
    "has_ledger": "SELECT count(*) AS found FROM sqlite_master WHERE name = 'd1_migrations'",
    "applied": "SELECT name FROM d1_migrations ORDER BY id",
    "note": "INSERT INTO d1_migrations (name) VALUES (:name)",
    "columns": """SELECT t.name AS owner, c.name AS name
FROM sqlite_master AS t
CROSS JOIN pragma_table_info(t.name) AS c
WHERE t.type = 'table' AND t.name IN (SELECT value FROM json_each(:tables))""",
}
_LEDGER: Final = bind(_SQL, "ledger")
_HAS_LEDGER: Final = bind(_SQL, "has_ledger")
_APPLIED: Final = bind(_SQL, "applied")
_NOTE: Final = bind(_SQL, "note", "name")
_COLUMNS: Final = bind(_SQL, "columns", "tables")
MIGRATIONS: Final = Path(clearlift_schema.__path__[0]) / "migrations"
_SHARED: Final = "_shared_tables.sql"  # They may be there: the API worker's.
_NAME: Final = re.compile(r"^\d{4}_\w+\.sql$")
_ADDED: Final = r"(?m)^ALTER TABLE (\w+) ADD COLUMN (\w+)"
_ALTERED: Final = r"(?m)^ALTER TABLE (\w+)"

Columns = dict[str, set[str]]  # By table.


def migration_names(folder: Path = MIGRATIONS) -> list[str]:
    """Return the names of all migrations, in their order."""
    return sorted(entry.name for entry in folder.iterdir() if _NAME.match(entry.name))


async def pending(db: Database, folder: Path = MIGRATIONS) -> Sequence[str]:
    """Return the migrations that this database still lacks.

    The ledger may also hold the API worker's own files, if it is kept by wrangler too.
    """
    [(has_ledger,)] = await db.read(_HAS_LEDGER)
    applied = {row[0] for row in await db.read(_APPLIED)} if has_ledger else set[str]()
    return [name for name in migration_names(folder) if name not in applied]


async def expect_migrated(db: Database) -> None:
    """See, before anything is written, that no migration is lacking.

    It is one statement. What newer versions have applied beyond ours is fine: migrations only add.

    Raises:
        ConfigurationError: an older version, or none, has set up this database.
    """
    applied = {row[0] for row in await db.read(_APPLIED)}  # Without a ledger, that says the same.
    names = migration_names()
    lacking = [name for name in names if name not in applied]
    if lacking:
        raise ConfigurationError(
            "the database is not set up for this version, and nothing was changed: "
            f"{len(lacking)} of {len(names)} migrations are not applied, first {lacking[0]}: "
            "run `clearlift-cron migrate`"
        )


async def migrate(db: Database, folder: Path = MIGRATIONS) -> Sequence[str]:
    """Apply what is pending; return the names of what was applied.

    Another process may be at it too. The ledger's UNIQUE name lets one of the two commit each
    file; what the other did is undone, and was done already.

    Raises:
        ConfigurationError: somebody else's table has a name that one of ours needs.
    """
    names = await pending(db, folder)
    await _refuse_strangers(db, folder, names)
    await db.write([(_LEDGER, [()])])
    return [name for name in names if await _apply(db, folder, name)]


async def _apply(db: Database, folder: Path, name: str) -> bool:
    """Apply one file; return False if another process did."""
    text, there = _text(folder, name), Columns()
    while True:
        try:
            await db.write(_steps(name, text, there))
        except RefusedError:
            if name not in await pending(db, folder):
                return False
            # A column may be there: the file was cut short, and came no further than that.
            found = await _columns(db, re.findall(_ALTERED, text))
            if found == there:
                raise
            there = found
        else:
            return True


def _steps(name: str, text: str, there: Columns) -> Sequence[Step]:
    """Return what a file does, but for the columns that are there already, and its name."""
    wanted = [statement for statement in statements(text) if not _is_there(statement, there)]
    return [*((Query(name, statement), [()]) for statement in wanted), (_NOTE, [(name,)])]


def _is_there(statement: str, there: Columns) -> bool:
    added = re.search(_ADDED, statement)
    return added is not None and added[2] in there.get(added[1], ())


def _text(folder: Path, name: str) -> str:
    return folder.joinpath(name).read_text(encoding="utf-8")


async def _refuse_strangers(db: Database, folder: Path, names: Collection[str]) -> None:
    """See that no table that is about to be made is there already and is another one.

    The shared tables may be: they are another program's. Of ours there may be some that a migration
    cut short, or another process that is at it now, has made; those have our columns, and maybe
    some that a later migration adds.
    """
    ours = _tables_of(folder, names)
    found = await _columns(db, list(ours))
    for table, columns in found.items():
        first, last = ours[table]
        if not first <= columns <= last:
            raise ConfigurationError(
                f"this database has a table {table!r} that is not this worker's, and the worker "
                "needs the name: rename it, or give the worker a database of its own"
            )


async def _columns(db: Database, tables: Sequence[str]) -> Columns:
    """Return the columns of those of these tables that there are."""
    found: Columns = {}
    for table, column in await db.read(_COLUMNS, msgspec.json.encode(tables).decode()):
        found.setdefault(table, set()).add(column)
    return found


def _tables_of(folder: Path, names: Collection[str]) -> dict[str, tuple[set[str], set[str]]]:
    """Return the columns of the tables that some migrations make, by making them in memory.

    Those that a table has at first, and those that it has after all migrations.
    """
    tables: dict[str, set[str]] = {}
    with closing(sqlite3.connect(":memory:")) as raw:
        for name in migration_names(folder):
            before = _tables_in(raw).keys()
            try:
                script = _text(folder, name)
                raw.executescript(script)
            except sqlite3.Error:
                break  # The database itself will say what is wrong with this file.
            if name in names and not name.endswith(_SHARED):
                tables |= {
                    table: _tables_in(raw)[table] for table in _tables_in(raw).keys() - before
                }
        last = _tables_in(raw)
    return {table: (columns, last[table]) for table, columns in tables.items()}


def _tables_in(raw: "sqlite3.Connection") -> dict[str, set[str]]:
    tables: dict[str, set[str]] = {}
    found = raw.execute(
        "SELECT t.name, c.name FROM sqlite_master AS t CROSS JOIN pragma_table_info(t.name) AS c"
        " WHERE t.type = 'table'"
    )
    for table, column in found:
        tables.setdefault(table, set()).add(column)
    return tables
