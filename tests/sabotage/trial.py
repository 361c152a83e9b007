"""Plants one bug and looks who finds it: the simulation, or the tests that stand beside it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.sabotage import bugs
from tests.simulation import sabotage as simulated
from tests.simulation.test_sabotage import FIRST, RARE, first_broken

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = (*sorted(simulated.BUGS), *sorted(bugs.BUGS))
_FAILED: Final = re.compile(r"^FAILED (\S+)", re.MULTILINE)
_TESTS_FAILED: Final = 1  # What pytest ends with if it ran and some did.


class Trial(NamedTuple):
    """What came of one planted bug: by what it was found, if it was, and how soon."""

    name: str
    found_by: str | None
    seconds: float

    def __str__(self) -> str:
        return f"{self.name}: {self.found_by or 'MISSED'}, {self.seconds:.1f} s"


def tried(name: str) -> Trial:
    """Plant a bug of either kind; return what came of it."""
    began = time.monotonic()
    found_by = _by_simulation(name) if name in simulated.BUGS else _by_tests(name)
    return Trial(name, found_by, time.monotonic() - began)


def _by_simulation(name: str) -> str | None:
    with simulated.planted(name):
        seed = first_broken(RARE.get(name, FIRST))
    return None if seed is None else f"simulation, seed {seed}"


def _by_tests(name: str) -> str | None:
    """Run the tests in a process in which the bug is planted; return the first that fails.

    The D1 double is left out: it takes longer to start than all the rest.
    """
    options = ("-x", "-q", "-p", "no:cacheprovider", "-k", "not d1", "--tb=no", "-W", "ignore")
    environment = {**os.environ, "SABOTAGE": name, "PYTHONPATH": str(ROOT)}
    environment.pop("CLEARLIFT_PROOF", None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.sabotage.plugin", *options),
            *bugs.BUGS[name].found_by,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    failed = _FAILED.search(done.stdout)
    if done.returncode == _TESTS_FAILED and failed is not None:
        return failed[1].removeprefix("tests/")
    if done.returncode != 0:
        raise RuntimeError(f"{name} cannot be planted: {(done.stdout + done.stderr)[-2000:]}")
    return None
