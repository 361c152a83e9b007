"""A worker that has nothing to do writes nothing but that it ran."""

from pathlib import Path
from typing import Final

from tests.steps.checker import READ
from tests.steps.processes import Warm
from tests.steps.stage import stage

CONNECTIONS: Final = 200
PAGE: Final = 4096
PAGES_MAX: Final = 5  # Its row of `runs` when it begins and when it ends, and that row's index.


async def test_tick_and_relay_with_nothing_to_do_write_their_run_and_nothing_else(
    forge: Warm, quick_path: Path
) -> None:
    async with stage(forge, quick_path, {}) as place:
        await place.done("migrate")
        place.add(*(f"c{number}" for number in range(CONNECTIONS)))
        await place.done("tick", "--relay")
        before = [place.program.rows(table) for table in READ]

        steps = [*await place.steps("tick"), *await place.steps("relay", "--drain")]

        pages = [step for step in steps if step.path.endswith("-wal") and step.length == PAGE]
        assert [place.program.rows(table) for table in READ] == before
        assert 0 < len(pages) <= 3 * PAGES_MAX  # The second journal holds the first one too.
