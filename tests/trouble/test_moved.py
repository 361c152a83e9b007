"""A database file that is replaced or removed while it is open is not used any further."""

import shutil
from pathlib import Path

import pytest

from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.stores.operation import SqliteJournal, SqliteSurvey
from clearlift_adapters.stores.refusals import UnusableError


@pytest.mark.parametrize("replaced", [True, False])
async def test_file_that_is_not_the_one_that_was_opened_is_neither_read_nor_written(
    tmp_path: Path, empty_database: Path, *, replaced: bool
) -> None:
    file, other = tmp_path / "c.db", tmp_path / "other.db"
    for copy in (file, other):
        shutil.copy(empty_database, copy)

    async with SqliteDatabase.open(file, "rw") as db:
        await SqliteJournal(db).begin("run", "tick", now_ms=0)
        if replaced:
            other.replace(file)
        else:
            file.unlink()
        with pytest.raises(UnusableError, match="was replaced or removed while it was in use"):
            await SqliteJournal(db).begin("another", "tick", now_ms=0)
        with pytest.raises(UnusableError, match="start again"):
            await SqliteSurvey(db).refs(after=0, limit=1)
