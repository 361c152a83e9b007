"""An examination of one database, in this process: what it finds, by name."""

import asyncio
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection as Sqlite

import pytest

from clearlift_adapters.cli.examination import examined
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.doctor.findings import RANKS, Finding
from clearlift_adapters.stores.library import sqlite3
from tests.seed import Seed, SqliteTables

NOW = "2026-10-10T12:00:00Z"


class Patient:
    """A database, what is set, and what is found."""

    def __init__(self, file: Path, raw: Sqlite) -> None:
        self.folder, self.file, self.online = file.parent, file, False
        self.tables, self.seed = SqliteTables(raw), Seed(SqliteTables(raw))

    def all_findings(self, **environment: str) -> list[Finding]:
        """Return everything that is found."""
        database = f"sqlite:///{self.file}"
        settings = {"CLEARLIFT_DATABASE": database, "CLEARLIFT_NOW": NOW, **environment}
        return list(asyncio.run(examined(Flags(settings), online=self.online)))

    def findings(self, **environment: str) -> Mapping[str, Finding]:
        """Return the findings by name; of several of one name the worst."""
        found = self.all_findings(**environment)
        found.sort(key=lambda each: -RANKS[each.severity])
        return {each.check: each for each in found}


@pytest.fixture
def patient(tmp_path: Path, empty_database: Path) -> Iterator[Patient]:
    """Return one that is sound, whose log is forgotten afterwards."""
    file = tmp_path / "clearlift.db"
    shutil.copy(empty_database, file)
    file.chmod(0o600)
    handlers = list(logging.getLogger().handlers)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        yield Patient(file, raw)
    logging.getLogger().handlers[:] = handlers
