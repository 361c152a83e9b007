"""Fixtures: the program on an empty database, and token endpoints for it."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.authority import Authority
from tests.e2e.program import Program


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    """Serve every platform's token endpoint."""
    endpoints = Authority()
    async with endpoints.serving():
        yield endpoints


@pytest.fixture
def program(tmp_path: Path, empty_database: Path, authority: Authority) -> Program:
    """Return the program on a database with no rows, configured for the token endpoints."""
    program = Program(tmp_path, **authority.environment)
    shutil.copy(empty_database, program.file)
    return program
