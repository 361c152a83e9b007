"""Applies schema/clearlift_schema/migrations in order, once each, every file in its own
transaction.

The ledger is wrangler's: the table `d1_migrations`, which holds the names of the files that were
applied. `clearlift-cron migrate` and `wrangler d1 migrations apply` over the same folder are
interchangeable.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from clearlift_adapters.stores.database import statements
from clearlift_adapters.stores.queries import Query, bind
from clearlift_adapters.stores.sql import Database, RefusedError

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
}
_LEDGER: Final = bind(_SQL, "ledger")
_HAS_LEDGER: Final = bind(_SQL, "has_ledger")
_APPLIED: Final = bind(_SQL, "applied")
_NOTE: Final = bind(_SQL, "note", "name")
MIGRATIONS: Final = files("clearlift_schema").joinpath("migrations")
_NAME: Final = re.compile(r"^\d{4}_\w+\.sql$")


def migration_names(folder: Traversable = MIGRATIONS) -> list[str]:
    """Return the names of all migrations, in their order."""
    return sorted(entry.name for entry in folder.iterdir() if _NAME.match(entry.name))


async def pending(db: Database, folder: Traversable = MIGRATIONS) -> Sequence[str]:
    """Return the migrations that this database still lacks.

    The ledger may also hold the API worker's own files, if it is kept by wrangler too.
    """
    [(has_ledger,)] = await db.read(_HAS_LEDGER)
    applied = {row[0] for row in await db.read(_APPLIED)} if has_ledger else set[str]()
    return [name for name in migration_names(folder) if name not in applied]


async def migrate(db: Database, folder: Traversable = MIGRATIONS) -> Sequence[str]:
    """Apply what is pending; return the names of what was applied.

    Another process may be at it too. The ledger's UNIQUE name lets one of the two commit each
    file; what the other did is undone, and was done already.
    """
    await db.write([(_LEDGER, [()])])
    applied: list[str] = []
    for name in await pending(db, folder):
        text = folder.joinpath(name).read_text(encoding="utf-8")
        steps = [(Query(name, statement), [()]) for statement in statements(text)]
        try:
            await db.write([*steps, (_NOTE, [(name,)])])
        except RefusedError:
            if name in await pending(db, folder):
                raise
        else:
            applied.append(name)
    return applied
