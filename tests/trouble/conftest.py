"""Fixtures: the small installation of scene.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trouble.scene import Scene, opened_scene


@pytest.fixture
def scene(tmp_path: Path, empty_database: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, empty_database) as opened:
        yield opened
