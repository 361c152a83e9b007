"""A program of its own for each test, over a database with all migrations and no rows."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clearlift_adapters.stores.library import sqlite3
from tests.cli.program import Program


@pytest.fixture
def program(tmp_path: Path, empty_database: Path) -> Iterator[Program]:
    file = tmp_path / "clearlift.db"
    shutil.copy(empty_database, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        yield Program(tmp_path, raw)
