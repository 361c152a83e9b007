"""Fixtures of the known defects: the worker over a SQLite file, and that file as others see it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clearlift_adapters.stores.library import sqlite3
from tests.worker import Worker
from tests.world import sqlite_world

if TYPE_CHECKING:
    from sqlite3 import Connection


@pytest.fixture
async def worker(tmp_path: Path, empty_database: Path) -> AsyncIterator[Worker]:
    async with sqlite_world(empty_database, tmp_path) as world:
        yield Worker(world)


@pytest.fixture
def raw(worker: Worker, tmp_path: Path) -> Iterator["Connection"]:
    """Open the worker's database as another program does."""
    with closing(sqlite3.connect(tmp_path / "clearlift.db", isolation_level=None)) as db:
        yield db
