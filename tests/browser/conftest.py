"""One Chromium for all tests of the pages."""

import os
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Chromium, chromium, executable


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Run Chromium with a new profile; a laptop may do without it."""
    program = executable()
    if program is None:
        if "CI" in os.environ:
            pytest.fail("CI must have Chromium")
        pytest.skip("there is no Chromium here: on Debian, apt-get install chromium")
    with chromium(program, tmp_path_factory.mktemp("profile")) as running:
        yield running
