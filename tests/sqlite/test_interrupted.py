"""A reader that is cancelled at any step closes all it has, and leaves the loop nothing to say."""

import asyncio
import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from clearlift_adapters.stores.archive import SqliteArchive
from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.replay import replay
from tests.seed import Seed, SqliteTables

STEPS: Final = 60  # Of the loop; a whole replay of this log takes about as many.


@pytest.fixture
def log(tmp_path: Path, empty_database: Path) -> Path:
    file = tmp_path / "c.db"
    shutil.copy(empty_database, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        seed = Seed(SqliteTables(raw))
        for number in range(5):
            seed.add_connection(f"c{number}")
            seed.add_job(f"j{number}", f"c{number}")
    return file


async def read(file: Path) -> None:
    async with SqliteDatabase.open(file, "ro") as db:
        await replay(SqliteArchive(db))


async def cancelled_after(file: Path, steps: int, said: list[str]) -> None:
    """Read the log and cancel that after so many steps; note what the loop complains about."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context["message"]))
    reading = asyncio.ensure_future(read(file))
    for _ in range(steps):
        await asyncio.sleep(0.0002)
    reading.cancel()
    await asyncio.wait([reading])


def test_a_replay_cancelled_at_any_step_leaves_nothing(log: Path) -> None:
    threads, said = threading.active_count(), list[str]()

    for steps in range(STEPS):
        asyncio.run(cancelled_after(log, steps, said))

    assert said == []
    assert threading.active_count() == threads
