"""One database with every port over it, for each adapter that there is.

A new database adapter is one more world here, and passes the suites in tests/conformance.
"""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from clearlift_adapters.backend import Cloudflare as Cloudflared
from clearlift_adapters.backend import open_backend
from clearlift_adapters.clock import SystemClock
from clearlift_adapters.migrations import migrate
from clearlift_adapters.queues.inbox import Inbox
from clearlift_adapters.queues.memory import MemoryInbox, MemorySameTransactionQueue
from clearlift_adapters.queues.sqlite import SqliteQueue
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.memory import (
    MemoryArchive,
    MemoryDatabase,
    MemoryJournal,
    MemoryLeases,
    MemoryMonitor,
    MemoryNotices,
    MemoryQuestions,
    MemoryStore,
    MemorySurvey,
    MemoryVault,
)
from clearlift_engine.notices import Notices
from clearlift_engine.overview import Monitor
from clearlift_engine.ports import Archive, Journal, Leases, NewId, Queue, Store, Survey, Vault
from clearlift_engine.questions import Questions
from tests.seed import MemoryTables, Seed, SqliteTables
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.tables import D1Tables

FILE: Final = "clearlift.db"


@dataclass(frozen=True)
class World:
    """A database, and everything that a port asks of it."""

    seed: Seed
    store: Store
    survey: Survey
    vault: Vault
    journal: Journal
    leases: Leases
    archive: Archive
    monitor: Monitor
    questions: Questions
    notices: Notices
    queue: Queue
    inbox: Inbox


# From an empty database to copy (where the adapter has files) and a folder of its own.
OpenWorld = Callable[[Path, Path], AbstractAsyncContextManager[World]]


def counted_ids(prefix: str) -> NewId:
    """Return a source of ids that says which came first."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


@asynccontextmanager
async def memory_world(empty: Path, folder: Path) -> AsyncGenerator[World]:
    del empty, folder
    db = MemoryDatabase()
    yield World(
        Seed(MemoryTables(db)),
        MemoryStore(db),
        MemorySurvey(db),
        MemoryVault(db),
        MemoryJournal(db),
        MemoryLeases(db),
        MemoryArchive(db),
        MemoryMonitor(db),
        MemoryQuestions(db),
        MemoryNotices(db),
        MemorySameTransactionQueue(db),
        MemoryInbox(db, counted_ids("lease")),
    )


@asynccontextmanager
async def sqlite_world(empty: Path, folder: Path) -> AsyncGenerator[World]:
    file = folder / FILE
    shutil.copy(empty, file)
    async with opened_sqlite(file) as world:
        yield world


@asynccontextmanager
async def opened_sqlite(file: Path) -> AsyncGenerator[World]:
    """Open a file that is there, as one more process does."""
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        async with open_backend(f"sqlite:///{file}") as backend:
            yield World(
                Seed(SqliteTables(raw)),
                backend.store,
                backend.survey,
                backend.vault,
                backend.journal,
                backend.leases,
                backend.archive,
                backend.monitor,
                backend.questions,
                backend.notices,
                backend.queue,
                backend.inbox,
            )


@asynccontextmanager
async def d1_world(running: Cloudflare) -> AsyncGenerator[World]:
    async with opened_d1(running, running.stage()) as world:
        yield world


@asynccontextmanager
async def opened_d1(
    running: Cloudflare, stage: Stage, leases: str = "lease"
) -> AsyncGenerator[World]:
    """Open a stage as one more process does; its leases bear a name that nobody else's do."""
    access = Cloudflared(running.tokens.token, running.base_url, SystemClock())
    with D1Tables(running, stage) as tables:
        async with open_backend(stage.database_url, stage.queue_url, cloudflare=access) as backend:
            await migrate(backend.db)
            queue = SqliteQueue(backend.db, counted_ids(leases))  # Its table is there, unused.
            yield World(
                Seed(tables),
                backend.store,
                backend.survey,
                backend.vault,
                backend.journal,
                backend.leases,
                backend.archive,
                backend.monitor,
                backend.questions,
                backend.notices,
                queue,
                queue,
            )


def sqlite_template(file: Path) -> None:
    """Make a database with all migrations and no rows, to be copied."""

    async def make() -> None:
        async with open_backend(f"sqlite:///{file}", mode="rwc") as backend:
            await migrate(backend.db)

    asyncio.run(make())


WORLDS: Final[Mapping[str, OpenWorld]] = {
    "memory": memory_world,
    "sqlite": sqlite_world,
}  # And d1_world, which takes a running Cloudflare.
