"""The worker over one database, under a clock that a test moves; every tick is a new process."""

from collections.abc import Callable, Sequence
from copy import copy
from itertools import count
from typing import Final, NamedTuple

import msgspec

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.memory_refresher import Answer, MemoryRefresher
from clearlift_adapters.memory_rescue import MemoryRescue
from clearlift_engine.events import Event, decode
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, Schedule, iso
from clearlift_engine.ports import (
    Provider,
    Queue,
    Refreshed,
    Refused,
    Rescue,
    SealedCredentials,
)
from clearlift_engine.relay import RelayPorts, RelayReport, drain
from clearlift_engine.run import TickOutcome, TickPorts, TickSettings
from clearlift_engine.tick import tick
from tests.given import NOW_MS
from tests.seed import Row, Value
from tests.watched import Watch, nobody, watched
from tests.world import World, counted_ids

GOOGLE: Final = Provider("google", Rate(1, 100))
FACEBOOK: Final = Provider("facebook", Rate(200, HOUR_MS))
TIKTOK: Final = Provider("tiktok", Rate(1, 100), rotates=True)
STRIPE: Final = Provider("stripe", None)
PROVIDERS: Final = (GOOGLE, FACEBOOK, TIKTOK, STRIPE)
TICK_MS: Final = 15 * MINUTE_MS


def never() -> bool:
    """Tell a run to go on."""
    return False


class Said(NamedTuple):
    """One thing that the engine said."""

    level: str
    event: str
    fields: dict[str, object]


class Providers(MemoryRefresher):
    """Scripted providers; `outages` says how every request to a platform ends for now."""

    def __init__(self, providers: Sequence[Provider], clock: FixedClock) -> None:
        super().__init__(providers, clock)
        self.outages: dict[str, Answer] = {}

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        outage = self.outages.get(platform)
        if outage is not None:
            self.script(credentials.connection_id, outage)
        return await super().refresh(platform, credentials)


class Worker:
    """Tick and relay with every port, and the questions that tests ask afterwards."""

    def __init__(
        self,
        world: World,
        providers: Sequence[Provider] = PROVIDERS,
        clock: FixedClock | None = None,
    ) -> None:
        self.world, self.seed = world, world.seed
        self.clock = clock or FixedClock(NOW_MS)
        self.refresher = Providers(providers, self.clock)
        self.rescue: Rescue = MemoryRescue()
        self.queue: Queue = world.queue
        self.settings = TickSettings()
        self.watch: Watch = nobody
        self.said: list[Said] = []
        self._new_id = counted_ids("job")
        self._runs = count(1)

    def reopen(self, world: World) -> None:
        """Go on over another database, which holds what this one held."""
        self.world, self.seed, self.queue = world, world.seed, world.queue

    def beside(self, world: World) -> "Worker":
        """Return a worker who has all that this one has, but comes by another door."""
        other = copy(self)
        other.reopen(world)
        return other

    def note(self, level: str, event: str, **fields: object) -> None:
        self.said.append(Said(level, event, fields))

    def expiring(self, connection_id: str, **columns: Value) -> None:
        """Add a connection whose token ends in a minute."""
        expiry: dict[str, Value] = {"expires_at": iso(NOW_MS + MINUTE_MS)}
        self.seed.add_connection(connection_id, **{**expiry, **columns})

    def set_margin(self, margin_ms: int) -> None:
        schedule = Schedule(refresh_margin_ms=margin_ms)
        self.settings = msgspec.structs.replace(self.settings, schedule=schedule)

    async def tick(
        self, should_stop: Callable[[], bool] = never, *, delivers: bool = False
    ) -> TickOutcome:
        """Tick once, as a new process does; with `delivers` into the embedded queue at once."""
        world, watch = self.world, self.watch
        ports = TickPorts(
            watched("store", world.store, watch),
            watched("vault", world.vault, watch),
            watched("refresher", self.refresher, watch),
            watched("rescue", self.rescue, watch),
            watched("clock", self.clock, watch),
            self._new_id,
            watched("queue", self.queue, watch) if delivers else None,
        )
        return await tick(
            ports,
            self.settings,
            run_id=f"run-{next(self._runs)}",
            now_ms=self.clock.now(),
            should_stop=should_stop,
            note=self.note,
        )

    async def tick_later(self, ms: int = TICK_MS) -> TickOutcome:
        """Tick once more, some time after the last tick began, if that is not over already."""
        self.clock.now_ms = max(self.clock.now_ms, NOW_MS) + ms
        return await self.tick()

    async def relay(
        self, *, batch: int = 100, should_stop: Callable[[], bool] = never
    ) -> RelayReport:
        """Deliver all that waits, as a new process does."""
        world, watch = self.world, self.watch
        ports = RelayPorts(
            watched("store", world.store, watch),
            watched("queue", self.queue, watch),
            watched("leases", world.leases, watch),
            watched("clock", self.clock, watch),
        )
        run_id = f"run-{next(self._runs)}"
        return await drain(
            ports,
            run_id=run_id,
            batch=batch,
            should_stop=should_stop,
            note=self.note,
            gather_ms=self.settings.gather_ms,
        )

    def jobs(self) -> list[str]:
        """Return whose jobs there are, in the order of their making."""
        rows = [row for row in self.seed.rows("outbox") if row["transition"] == "job_created"]
        return [row["connection_id"] for row in rows]

    def asked(self) -> list[str]:
        """Return for whom a provider was asked, in that order."""
        return [call.connection_id for call in self.refresher.calls]

    def life(self, connection_id: str) -> list[str]:
        """Return what has happened to a connection."""
        return [row["transition"] for row in self._rows(connection_id)]

    def last(self, connection_id: str) -> Event:
        """Return what happened to a connection last."""
        row = self._rows(connection_id)[-1]
        return decode(row["transition"], row["data"])

    def state(self, connection_id: str) -> str:
        return str(self.seed.row("connection_state", connection_id)["state"])

    def connection(self, connection_id: str) -> Row:
        return self.seed.row("platform_connections", connection_id)

    def marked(self) -> list[str]:
        """Return which connections say that they failed."""
        rows = self.seed.rows("platform_connections")
        return [row["id"] for row in rows if row["sync_status"] == "failed"]

    def heard(self, event: str) -> list[dict[str, object]]:
        """Return with which fields the engine said something."""
        return [said.fields for said in self.said if event in said.event]

    def _rows(self, connection_id: str) -> list[Row]:
        rows = self.seed.rows("outbox")
        return [row for row in rows if row["connection_id"] == connection_id]
