"""Puts the world together as the settings say: database, queue, clock, providers, key."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from clearlift_adapters.backend import Backend, Cloudflare, open_backend, sqlite_path
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.clock import ShiftedClock, SystemClock
from clearlift_adapters.ids import new_id
from clearlift_adapters.logs import Log
from clearlift_adapters.migrations import expect_migrated
from clearlift_adapters.oauth.refresher import HttpTokenRefresher
from clearlift_adapters.rescue import FileRescue
from clearlift_adapters.settings import Settings
from clearlift_adapters.stores.database import Mode
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.policy import iso
from clearlift_engine.ports import Clock, Provider
from clearlift_engine.relay import RelayPorts
from clearlift_engine.run import TickPorts

if TYPE_CHECKING:  # It loads cryptography, which most commands do not need.
    from clearlift_adapters.cipher import FieldCipher


NO_KEY: Final = (
    "ENCRYPTION_KEY is not set: set it, or ENCRYPTION_KEY_FILE, to the key that the API worker "
    "encrypts tokens with (for a new installation: openssl rand -base64 32)"
)

# Base64 of 32 bytes, the two bits at its end unused.
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


class World(NamedTuple):
    """Everything that a command may need."""

    settings: Settings
    log: Log
    backend: Backend
    clock: Clock
    refresher: HttpTokenRefresher
    rescue: FileRescue

    @property
    def tick_ports(self) -> TickPorts:
        """Return what tick asks of it."""
        backend = self.backend
        return TickPorts(
            backend.store, backend.vault, self.refresher, self.rescue, self.clock, new_id
        )

    @property
    def relay_ports(self) -> RelayPorts:
        """Return what relay asks of it."""
        backend = self.backend
        return RelayPorts(backend.store, backend.queue, backend.leases, self.clock)


@asynccontextmanager
async def open_world(flags: Flags, mode: Mode) -> AsyncGenerator[World]:
    """Open everything that the settings name; `mode` is what is done with the database.

    Whoever writes learns first whether its tables are as this version needs them: what is found
    out by a statement that fails is found out when others have been committed. On D1 that is one
    request more; it cannot go along with the first one, which may write.

    Raises:
        ConfigurationError: a setting is wrong, or the database is not there, or not migrated.
        UnavailableError: the database does not answer.
    """
    settings = flags.settings
    clock = clock_of(flags, writes=mode != "ro")
    # Requests have a clock of their own: where one is set, its first reading is the run's.
    access = cloudflare_of(settings, clock_of(flags, writes=False))
    async with (
        open_backend(settings.database, settings.queue, mode=mode, cloudflare=access) as backend,
        _Refresher(settings, clock) as refresher,
    ):
        if mode != "ro":
            await expect_migrated(backend.db)
        rescue = FileRescue(_rescue_folder(settings), flags.log.note)
        yield World(settings, flags.log, backend, clock, refresher, rescue)


class _Refresher(HttpTokenRefresher):
    """The refresher of these settings; the engine hears of a wrong key before it claims."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__(
            cipher=lambda: cipher_of(settings), providers=settings.providers, clock=clock
        )
        self._key_problem = _key_problem(settings)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Return the providers, and for those that could be asked what is wrong with the key."""
        providers = super().providers
        if self._key_problem is None:
            return providers
        return {
            name: provider
            if provider.rate is None
            else replace(provider, problem=self._key_problem)
            for name, provider in providers.items()
        }


def _key_problem(settings: Settings) -> str | None:
    """Return what is wrong with the keys, without loading cryptography if nothing is."""
    keys = (settings.encryption_key, *settings.encryption_keys_previous)
    if all(key is not None and _KEY.fullmatch(key.value) for key in keys):
        return None
    try:
        cipher_of(settings)
    except ConfigurationError as exc:
        return str(exc)
    return None


def _rescue_folder(settings: Settings) -> Path:
    """Return where tokens wait that the database could not take: one folder for each database."""
    if settings.database.startswith("sqlite:"):
        beside = sqlite_path(settings.database)
    else:
        beside = Path(settings.database.rpartition("/")[2])
    folder = beside.parent if settings.config is None else settings.config.parent
    return folder / f"{beside.name}-rescue"


def cloudflare_of(settings: Settings, clock: Clock) -> Cloudflare:
    """Return what it takes to call Cloudflare, if a URL asks for it."""
    token = settings.cloudflare_api_token
    return Cloudflare(
        None if token is None else token.value, settings.cloudflare_api_base_url, clock
    )


def clock_of(flags: Flags, *, writes: bool) -> Clock:
    """Return the machine's clock, or the one that CLEARLIFT_NOW sets; say so before writing."""
    now_ms = flags.settings.now_ms
    if now_ms is None:
        return SystemClock()
    if writes:
        flags.log.note(
            "warning", "CLEARLIFT_NOW is set: this is not the time of day", now=iso(now_ms)
        )
    return ShiftedClock(now_ms)


def cipher_of(settings: Settings) -> "FieldCipher":
    """Return the cipher of the stored tokens.

    Raises:
        ConfigurationError: there is no key, or it is not one.
    """
    if settings.encryption_key is None:
        raise ConfigurationError(NO_KEY)
    from clearlift_adapters.cipher import FieldCipher  # noqa: PLC0415  see above

    previous = [secret.value for secret in settings.encryption_keys_previous]
    return FieldCipher(settings.encryption_key.value, previous)
