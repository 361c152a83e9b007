"""Fixtures: a database and a queue of each kind, and what else every test takes as given."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from tests.broker import BROKERS, Broker, cloudflare_broker
from tests.workerd.cloudflare import Cloudflare, cloudflare
from tests.workerd.npm import MissingError, install, node
from tests.world import WORLDS, World, d1_world, sqlite_template

PROCESSES_MAX: Final = 8  # Each has a workerd of its own, which takes a gigabyte.

# What a shell starts in the background ignores Ctrl-C, and so would what a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Divide a run of all tests among processes, unless told otherwise.

    There are as many of them as there are processors: with more, tests that have a real clock in
    them get too little time. The tests of a file stay together: what they share is made once. Some
    tests are sooner run by one process; nor does a process that has its share divide that.
    """
    runs_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    is_share = hasattr(config, "workerinput")
    is_free = config.getoption("numprocesses", 0) is None and not config.getoption("usepdb")
    if runs_all and not is_share and is_free:
        config.option.numprocesses = min(os.cpu_count() or 1, PROCESSES_MAX)
        config.option.dist = "loadfile"


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
