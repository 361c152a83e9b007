"""Commands, users, providers, consumers and clocks in any order, against every store.

Hypothesis draws the steps, and makes them few where something breaks. In every run they are the
same; with CLEARLIFT_PROOF=full they are many more, others each time, and on D1 too.
"""

import os
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.commands import Commands, CommandsOnD1
from tests.world import WORLDS, World, d1_world

FULL: Final = os.environ.get("CLEARLIFT_PROOF") == "full"
EXAMPLES: Final = {"memory": 2_000, "sqlite": 500} if FULL else {"memory": 100, "sqlite": 20}
STEPS: Final = 60 if FULL else 40


def play(machine: type[Commands], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            derandomize=not FULL,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.parametrize("store", sorted(EXAMPLES))
def test_whatever_happens_in_whatever_order_the_tables_make_sense(
    store: str, tmp_path: Path, empty_database: Path
) -> None:
    numbers = count()

    def open_world() -> AbstractAsyncContextManager[World]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return WORLDS[store](empty_database, folder)

    class Here(Commands):
        def __init__(self) -> None:
            super().__init__(open_world)

    play(Here, EXAMPLES[store])


@pytest.mark.skipif(not FULL, reason="each step is some requests: with CLEARLIFT_PROOF=full")
def test_on_d1_too(request: pytest.FixtureRequest) -> None:
    workerd = request.getfixturevalue("workerd")

    class There(CommandsOnD1):
        def __init__(self) -> None:
            super().__init__(lambda: d1_world(workerd))

    play(There, 25)
