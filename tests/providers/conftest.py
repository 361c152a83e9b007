"""Fixtures: the program beside a real authorization server, or beside endpoints of a test's own."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.program import Program
from tests.providers.authorization import (
    AuthorizationServer,
    MissingError,
    authorization_server,
    installed,
)


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the authorization server is installed."""
    try:
        return installed(tmp_path_factory.mktemp("authorization-server"))
    except MissingError as exc:
        if "CI" in os.environ:
            pytest.fail(f"CI must have the authorization server: {exc}")
        pytest.skip(str(exc))


@pytest.fixture
async def server(server_folder: Path, tmp_path: Path) -> AsyncIterator[AuthorizationServer]:
    """Return a running authorization server without any grant."""
    async with authorization_server(server_folder, tmp_path) as running:
        yield running


@pytest.fixture
def program(tmp_path: Path, empty_database: Path) -> Program:
    """Return the program on a database with no rows; its configuration file is the test's."""
    program = Program(tmp_path)
    shutil.copy(empty_database, program.file)
    return program
