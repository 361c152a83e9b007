"""Commands, users, providers, consumers and clocks in any order, against every store.

Hypothesis draws the steps, and makes them few where something breaks. In every run they are the
same; with CLEARLIFT_PROOF=full they are many more, others each time, and on D1 too.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.at_once import AtOnce
from tests.stateful.commands import Commands
from tests.workerd.cloudflare import Cloudflare
from tests.world import FILE, World, memory_world, opened_d1, opened_sqlite, sqlite_world

FULL: Final = os.environ.get("CLEARLIFT_PROOF") == "full"
EXAMPLES: Final = {"memory": 2_000, "sqlite": 500} if FULL else {"memory": 90, "sqlite": 18}
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


@asynccontextmanager
async def memory_doors(empty: Path, folder: Path) -> AsyncGenerator[tuple[World, World]]:
    async with memory_world(empty, folder) as world:
        yield world, world


@asynccontextmanager
async def sqlite_doors(empty: Path, folder: Path) -> AsyncGenerator[tuple[World, World]]:
    async with sqlite_world(empty, folder) as world, opened_sqlite(folder / FILE) as another:
        yield world, another


@asynccontextmanager
async def d1_doors(running: Cloudflare) -> AsyncGenerator[tuple[World, World]]:
    stage = running.stage()
    async with opened_d1(running, stage) as world, opened_d1(running, stage, "other") as another:
        yield world, another


DOORS: Final = {"memory": memory_doors, "sqlite": sqlite_doors}


@pytest.mark.parametrize("store", sorted(EXAMPLES))
def test_whatever_happens_in_whatever_order_the_tables_make_sense(
    store: str, tmp_path: Path, empty_database: Path
) -> None:
    numbers = count()

    def open_doors() -> AbstractAsyncContextManager[tuple[World, World]]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return DOORS[store](empty_database, folder)

    class Here(AtOnce):
        def __init__(self) -> None:
            super().__init__(open_doors)

    play(Here, EXAMPLES[store])


@pytest.mark.skipif(not FULL, reason="each step is some requests: with CLEARLIFT_PROOF=full")
def test_on_d1_too(request: pytest.FixtureRequest) -> None:
    workerd = request.getfixturevalue("workerd")

    class There(AtOnce):
        def __init__(self) -> None:
            super().__init__(lambda: d1_doors(workerd))

        def take_away(self, name: str) -> None:  # D1 keeps to its foreign keys.
            if any(row["connection_id"] == name for row in self.jobs().values()):
                self.seed.update_connection(name, is_active=0)
            else:
                super().take_away(name)

    play(There, 25)
