"""Applies schema/clearlift_schema/migrations in order, once each, every file in its own
transaction.

The ledger is wrangler's: the table `d1_migrations`, which holds the names of the files that were
applied. `clearlift-cron migrate` and `wrangler d1 migrations apply` over the same folder are
interchangeable.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.queries import bind

# The very statement of wrangler, so that the two ledgers are one.
_SQL: Final = {
    "ledger": """CREATE TABLE IF NOT EXISTS d1_migrations(
		id         INTEGER PRIMARY KEY AUTOINCREMENT,
		name       TEXT UNIQUE,
		applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)""",
    "has_ledger": "SELECT count(*) FROM sqlite_master WHERE name = 'd1_migrations'",
    "applied": "SELECT name FROM d1_migrations ORDER BY id",
    "note": "INSERT INTO d1_migrations (name) VALUES (:name)",
}
_LEDGER: Final = bind(_SQL, "ledger")
_HAS_LEDGER: Final = bind(_SQL, "has_ledger")
_APPLIED: Final = bind(_SQL, "applied")
_NOTE: Final = bind(_SQL, "note", "name")
_NAME: Final = re.compile(r"^\d{4}_\w+\.sql$")


def migration_names() -> list[str]:
    """Return the names of all migrations, in their order."""
    folder = files("clearlift_schema").joinpath("migrations")
    return sorted(entry.name for entry in folder.iterdir() if _NAME.match(entry.name))


def migration_text(name: str) -> str:
    """Return the SQL of one migration."""
    return files("clearlift_schema").joinpath("migrations", name).read_text(encoding="utf-8")


async def pending(db: SqliteDatabase) -> Sequence[str]:
    """Return the migrations that this database still lacks.

    The ledger may also hold the API worker's own files, if it is kept by wrangler too.
    """
    [(has_ledger,)] = await db.read(_HAS_LEDGER)
    applied = {row[0] for row in await db.read(_APPLIED)} if has_ledger else set[str]()
    return [name for name in migration_names() if name not in applied]


async def migrate(db: SqliteDatabase) -> Sequence[str]:
    """Apply what is pending; return the names of what was applied.

    Another process may be at it too: each file is looked up again inside the transaction that
    applies it.
    """
    await db.write([(_LEDGER, [()])])
    applied: list[str] = []
    for name in await pending(db):
        async with db.transaction("IMMEDIATE") as moment:
            done = {row[0] async for row in moment.rows(_APPLIED)}
            if name in done:
                continue
            await moment.script(migration_text(name))
            await moment.write(_NOTE, [(name,)])
            applied.append(name)
    return applied
