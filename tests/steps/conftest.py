"""Fixtures: a warm process that workers are forked off, and a folder for their files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.steps.preload import built_or_skipped, room
from tests.steps.processes import Warm, warm


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Have one warm process for the whole session."""
    with warm(built_or_skipped(tmp_path_factory.mktemp("preload"))) as process:
        yield process


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """Return a folder where a file costs no disk."""
    with room() as folder:
        yield folder
