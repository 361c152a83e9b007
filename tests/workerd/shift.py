"""The worker on a stage of Cloudflare, in this process: tick, relay, and what came of them.

Time is virtual, for the waits between two attempts too; only the requests themselves take time. The
queue is the one that the example Worker consumes.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.backend import Cloudflare as Cloudflared
from clearlift_adapters.cli.exits import code_of
from clearlift_adapters.clock import FixedClock
from clearlift_adapters.migrations import MIGRATIONS, migration_names
from clearlift_adapters.queues.sqlite import SqliteQueue
from clearlift_engine.audit import Violation
from clearlift_engine.errors import CronWorkerError
from clearlift_engine.replay import replay
from clearlift_engine.run import TickSettings
from tests.given import NOW_MS
from tests.seed import Seed
from tests.worker import Worker
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.tables import D1Tables
from tests.world import World, counted_ids

DEADLINE_S: Final = 20.0
BATCH: Final = 4  # Jobs that a relay delivers together.

_LEDGER: Final = (
    "CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)"
)


class Shift(Worker):
    """A worker, and the Cloudflare that it works on."""

    def __init__(
        self, running: Cloudflare, stage: Stage, backend: Backend, seed: Seed, clock: FixedClock
    ) -> None:
        inbox = SqliteQueue(backend.db, counted_ids("lease"))  # Its table is there, unused.
        super().__init__(
            World(
                seed,
                backend.store,
                backend.survey,
                backend.vault,
                backend.journal,
                backend.leases,
                backend.archive,
                backend.monitor,
                backend.questions,
                backend.notices,
                backend.queue,
                inbox,
            ),
            clock=clock,
        )
        self.running, self.stage = running, stage
        self.settings = TickSettings(gather_ms=backend.gather_ms, claims_max=backend.claims_max)

    async def tick_and_relay(self) -> list[int]:
        """Tick, then relay a few jobs at a time; return the exit codes that the two would have."""
        return [await _code(self.tick), await _code(partial(self.relay, batch=BATCH))]

    async def violations(self) -> list[Violation]:
        return list((await replay(self.world.archive)).violations)

    def copies(self) -> Counter[str]:
        """Return how often each job's message came out of the queue, by connection."""
        deliveries = self.running.deliveries(self.stage.consumed)
        messages = {each.message_id: msgspec.json.decode(each.body) for each in deliveries}
        return Counter(body["connection_id"] for body in messages.values())

    def effects(self) -> Counter[str]:
        """Return how often the example Worker has done the work of each job."""
        return Counter(each.job_id for each in self.running.effects(self.stage.consumed))


async def _code(command: Callable[[], Awaitable[object]]) -> int:
    try:
        await command()
    except (CronWorkerError, BaseExceptionGroup) as exc:
        return code_of(exc)
    return 0


@asynccontextmanager
async def shift(running: Cloudflare, *, deadline_s: float = DEADLINE_S) -> AsyncGenerator[Shift]:
    """Open a stage whose database has our tables."""
    stage, clock = running.stage(), FixedClock(NOW_MS)
    access = Cloudflared(running.tokens.token, running.base_url, clock, deadline_s)
    queue_url = f"cloudflare://{stage.account}/{stage.consumed}"
    with D1Tables(running, stage) as tables:
        tables.run(";".join([_LEDGER, *_migrations()]))
        async with open_backend(stage.database_url, queue_url, cloudflare=access) as backend:
            yield Shift(running, stage, backend, Seed(tables), clock)


def _migrations() -> list[str]:
    return [MIGRATIONS.joinpath(name).read_text(encoding="utf-8") for name in migration_names()]
