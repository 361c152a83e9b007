"""Fixtures: a database and a queue of each kind, and what else every test takes as given."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.broker import BROKERS, Broker
from tests.world import WORLDS, World, sqlite_template


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with all migrations and no rows: copy it, do not write to it."""
    file = tmp_path_factory.mktemp("template") / "empty.db"
    sqlite_template(file)
    return file


@pytest.fixture(params=sorted(WORLDS))
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path
) -> AsyncIterator[World]:
    """Open one database of each kind in turn, with every port over it."""
    async with WORLDS[request.param](empty_database, tmp_path) as opened:
        yield opened


@pytest.fixture(params=sorted(BROKERS))
async def broker(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path
) -> AsyncIterator[Broker]:
    """Open one queue of each kind in turn."""
    async with BROKERS[request.param](empty_database, tmp_path) as opened:
        yield opened
