"""Fixtures of the unit tests: the worker over a database in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.worker import Worker
from tests.world import memory_world


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with memory_world(tmp_path, tmp_path) as world:
        yield Worker(world)
