"""Everything that takes part in the day, and how it is put together.

The worker and the two other programs each have a connection to the database of their own, as they
would have if they were processes of their own.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os import urandom
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import quote

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.cipher import KEY_BYTES, FieldCipher
from clearlift_adapters.demo.api_worker import ApiWorker
from clearlift_adapters.demo.consumer import Consumer
from clearlift_adapters.demo.listener import listening
from clearlift_adapters.demo.provider import CLIENT, PLATFORMS, Providers
from clearlift_adapters.demo.story import SEED, TICK_MINUTES
from clearlift_adapters.demo.timelapse import TimedRefresher, Timelapse
from clearlift_adapters.ids import new_id
from clearlift_adapters.migrations import migrate
from clearlift_adapters.oauth.providers import built_in
from clearlift_adapters.oauth.refresher import HttpTokenRefresher
from clearlift_adapters.rescue import FileRescue
from clearlift_engine.policy import MINUTE_MS, Schedule
from clearlift_engine.relay import RelayPorts
from clearlift_engine.run import Note, TickPorts

TICK_MS: Final = TICK_MINUTES * MINUTE_MS
SCHEDULE: Final = Schedule()


@dataclass(frozen=True)
class Stage:
    """Everybody who is in it."""

    clock: Timelapse
    worker: Backend
    others: Backend
    tick_ports: TickPorts
    providers: Providers
    api_worker: ApiWorker
    consumer: Consumer
    note: Note

    @property
    def relay_ports(self) -> RelayPorts:
        """Return what relay asks of it."""
        return RelayPorts(self.worker.store, self.worker.queue, self.worker.leases, self.clock)


def url_of(file: Path) -> str:
    """Return what `--database` calls a file."""
    return f"sqlite:///{quote(str(file))}"


@asynccontextmanager
async def set_up(file: Path, starts_at: int, note: Note) -> AsyncGenerator[Stage]:
    """Make a database and everybody around it; it is `starts_at` there."""
    clock = Timelapse(starts_at)
    providers = Providers(clock)
    # Made here, used here, and gone with this process: nobody can read these tokens again.
    cipher = FieldCipher(b64encode(urandom(KEY_BYTES)).decode())
    async with (
        listening(providers.answer) as address,
        open_backend(url_of(file), mode="rwc") as worker,
        open_backend(url_of(file)) as others,
        HttpTokenRefresher(
            cipher=lambda: cipher,
            providers=built_in(
                dict.fromkeys(PLATFORMS, CLIENT),
                {platform: f"{address}/{platform}" for platform in PLATFORMS},
            ),
            clock=clock,
        ) as refresher,
    ):
        await migrate(worker.db)
        timed = TimedRefresher(refresher, clock)
        rescue = FileRescue(file.with_name(f"{file.name}-rescue"))
        ports = TickPorts(worker.store, worker.vault, timed, rescue, clock, new_id)
        # Each has draws of its own, so that none's depend on how many another makes.
        api_worker = ApiWorker(others.db, cipher, providers, _draws())
        consumer = Consumer(others.db, others.inbox, _draws())
        yield Stage(clock, worker, others, ports, providers, api_worker, consumer, note)


def _draws() -> Random:
    return Random(SEED)  # noqa: S311  a day that is the same each time is what is wanted
