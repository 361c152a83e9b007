"""Fixtures: a database and a queue of each kind, and what else every test takes as given."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.broker import BROKERS, Broker, cloudflare_broker
from tests.workerd.cloudflare import Cloudflare, cloudflare
from tests.workerd.npm import MissingError, install, node
from tests.world import WORLDS, World, d1_world, sqlite_template

# What a shell starts in the background ignores Ctrl-C, and so would what a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with all migrations and no rows: copy it, do not write to it."""
    file = tmp_path_factory.mktemp("template") / "empty.db"
    sqlite_template(file)
    return file


@pytest.fixture(scope="session")
def workerd() -> Iterator[Cloudflare]:
    """Run workerd for the whole session: D1 and Queues as they are, behind Cloudflare's API."""
    try:
        install()
    except MissingError as exc:
        if "CI" in os.environ:
            pytest.fail(f"CI must have workerd: {exc}")
        pytest.skip(str(exc))
    with cloudflare(node()) as running:
        yield running


@pytest.fixture(params=[*sorted(WORLDS), "d1"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path
) -> AsyncIterator[World]:
    """Open one database of each kind in turn, with every port over it."""
    opening: AbstractAsyncContextManager[World]
    if request.param == "d1":
        opening = d1_world(request.getfixturevalue("workerd"))
    else:
        opening = WORLDS[request.param](empty_database, tmp_path)
    async with opening as opened:
        yield opened


@pytest.fixture(params=[*sorted(BROKERS), "cloudflare"])
async def broker(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path
) -> AsyncIterator[Broker]:
    """Open one queue of each kind in turn."""
    opening: AbstractAsyncContextManager[Broker]
    if request.param == "cloudflare":
        opening = cloudflare_broker(request.getfixturevalue("workerd"))
    else:
        opening = BROKERS[request.param](empty_database, tmp_path)
    async with opening as opened:
        yield opened
