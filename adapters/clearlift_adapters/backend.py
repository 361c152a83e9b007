"""Opens what the settings name: a database with everything in it, and the queue."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from clearlift_adapters.ids import new_id
from clearlift_adapters.queues.sqlite import SqliteQueue
from clearlift_adapters.stores.archive import SqliteArchive
from clearlift_adapters.stores.connections import SqliteConnections
from clearlift_adapters.stores.database import Mode, SqliteDatabase
from clearlift_adapters.stores.operation import (
    SqliteJournal,
    SqliteLeases,
    SqliteSurvey,
    SqliteVault,
)
from clearlift_adapters.stores.sqlite import SqliteStore
from clearlift_engine.errors import ConfigurationError

DEFAULT_DATABASE: Final = "sqlite:///clearlift.db"


@dataclass(frozen=True)
class Backend:
    """Everything behind one database URL and one queue URL."""

    db: SqliteDatabase
    store: SqliteStore
    survey: SqliteSurvey
    vault: SqliteVault
    journal: SqliteJournal
    leases: SqliteLeases
    archive: SqliteArchive
    connections: SqliteConnections
    queue: SqliteQueue


@asynccontextmanager
async def open_backend(
    database: str, queue: str | None = None, *, mode: Mode = "rw"
) -> AsyncGenerator[Backend]:
    """Open a database and a queue by their URLs; without a queue, the table in the database is it.

    Raises:
        ConfigurationError: a URL that nothing here speaks, or no such file.
        UnavailableError: the database does not answer.
    """
    path = sqlite_path(database)
    if queue is not None and queue != database:
        raise ConfigurationError(
            f"cannot use {_scheme(queue)}:// as a queue: leave --queue out to use the table in the "
            "database"
        )
    async with SqliteDatabase.open(path, mode) as db:
        yield Backend(
            db,
            SqliteStore(db),
            SqliteSurvey(db),
            SqliteVault(db),
            SqliteJournal(db),
            SqliteLeases(db),
            SqliteArchive(db),
            SqliteConnections(db),
            SqliteQueue(db, new_id),
        )


def sqlite_path(url: str) -> Path:
    """Return the file that a `sqlite:///` URL names: three slashes relative, four absolute."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise ConfigurationError(
            f"cannot open a database of the kind {_scheme(url)}://: use sqlite:///FILE"
        )
    if parts.netloc or len(parts.path) < len("/x"):
        raise ConfigurationError(
            "a SQLite URL has three slashes and a relative path (sqlite:///clearlift.db), or four "
            "and an absolute one (sqlite:////var/lib/clearlift.db)"
        )
    return Path(unquote(parts.path[1:]))


def _scheme(url: str) -> str:
    """Return the part of a URL that is no secret."""
    return url.partition("://")[0][:32]
