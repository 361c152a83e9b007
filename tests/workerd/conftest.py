"""Fixtures: a stage of the running Cloudflare, a client as simple as can be, and wrangler."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.npm import install
from tests.workerd.rest import Rest
from tests.workerd.wrangler import Wrangler


@pytest.fixture
def stage(workerd: Cloudflare) -> Stage:
    """Return an empty database and empty queues."""
    return workerd.stage()


@pytest.fixture
async def rest(workerd: Cloudflare, stage: Stage) -> AsyncIterator[Rest]:
    """Return a client of the stage that neither retries nor judges."""
    async with Rest(workerd, stage) as client:
        yield client


@pytest.fixture
def wrangler(workerd: Cloudflare, tmp_path: Path) -> Wrangler:
    """Return wrangler, of the packages that workerd runs from, with no database yet."""
    return Wrangler(install(), tmp_path)
