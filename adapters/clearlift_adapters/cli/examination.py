"""Gathers what `doctor` looks at: the settings, the machine, the database, the network.

What cannot be looked at is a finding too, and the rest goes on: this is for when nothing works.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from clearlift_adapters.backend import NO_QUEUE, NoQueue, sqlite_path
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.cli.overview import look
from clearlift_adapters.cli.schedule import longest_gap
from clearlift_adapters.cli.world import World, cipher_of, open_world
from clearlift_adapters.clock import SystemClock
from clearlift_adapters.credentials import StoredCredentials
from clearlift_adapters.doctor import database, files, start, tokens, work
from clearlift_adapters.doctor.configuration import configuration, named_in
from clearlift_adapters.doctor.findings import Finding
from clearlift_adapters.logs import scrubbed
from clearlift_adapters.migrations import migration_names, pending
from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.settings import DEFAULT_CRON, Settings
from clearlift_adapters.sources import CONFIG
from clearlift_adapters.stores.checkup import Claims, SqlCheckup, durability
from clearlift_adapters.stores.database import SqliteDatabase
from clearlift_adapters.web.door import MAKE_ONE, token_problem
from clearlift_engine.errors import ConfigurationError, CronWorkerError
from clearlift_engine.overview import Overview
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Queue

_WRONG_SETTINGS_MAX: Final = 20
_WAIT_MAX_MS: Final = HOUR_MS  # A message that waits longer than that is the consumer's finding.
# A semicolon, or a colon that is in no brackets.
_REMEDY_FOLLOWS: Final = re.compile(r"; |: (?![^(]*\))")

Part = Callable[[], Awaitable[Iterable[Finding]]]


async def examined(flags: Flags, *, online: bool) -> Sequence[Finding]:
    """Return all there is to say; the network is used only if `online`."""
    examination = Examination(online=online)
    await examination.all(flags)
    return examination.findings


class Examination:
    """What was found so far."""

    def __init__(self, *, online: bool) -> None:
        self.findings: list[Finding] = []
        self._online = online
        self._wrong: set[str] = set()  # Settings.
        self._platforms: Collection[str] | None = None  # In use; None: nobody knows.

    async def all(self, flags: Flags) -> None:
        """Look at everything."""
        sound = self._sound(flags)
        if sound is None:
            now_ms = SystemClock().now()
            self.findings += start.clock(now_ms, is_set=False)
            self.findings += start.syncing(flags.environment)
            return
        settings = sound.settings
        now_ms = SystemClock().now() if settings.now_ms is None else settings.now_ms
        self.findings += configuration(settings)
        self.findings += start.looked_at(settings, now_ms, sound.environment)
        self.findings += _serving(settings)
        if "CLEARLIFT_DATABASE" not in self._wrong:
            await self._look("database", lambda: self._database(sound))
        if self._online:
            await self._look("online", lambda: self._elsewhere(settings))

    async def _look(self, subject: str, part: Part) -> None:
        """Add what a part finds; if it breaks, that is what it has found."""
        try:
            self.findings += await part()
        except CronWorkerError as exc:
            self._broken(subject, str(exc))
        except Exception as exc:  # noqa: BLE001  a broken part must not hide the others
            self._broken(subject, f"unexpected {type(exc).__name__}: {exc}")

    def _broken(self, subject: str, why: str) -> None:
        """Add what is wrong; our messages end with what is to be done."""
        text = scrubbed(" ".join(why.split()))[:1000]
        found, *remedy = _REMEDY_FOLLOWS.split(text, maxsplit=1)
        self.findings.append(
            Finding(subject, "error", subject, found, remedy=remedy[0] if remedy else "see there")
        )

    def _sound(self, flags: Flags) -> Flags | None:
        """Return the flags without the settings that are wrong; None if nothing else is left."""
        for _ in range(_WRONG_SETTINGS_MAX):
            try:
                _ = flags.settings
            except ConfigurationError as exc:
                self._broken("setting", str(exc))
                names = set(named_in(str(exc), {*flags.environment, *flags.values}))
                if not names or CONFIG in names:
                    return None
                self._wrong |= names
                flags = flags.without(names)
            else:
                return flags
        return None

    async def _database(self, flags: Flags) -> Iterable[Finding]:
        settings = flags.settings
        remote = [url for url in (settings.database, settings.queue) if url and _is_remote(url)]
        if not _is_remote(settings.database):
            path = sqlite_path(settings.database)
            self.findings += [*files.database_files(path), *files.file_system(path)]
        if remote and not self._online:
            kinds = " and ".join(url.partition("://")[0] for url in remote)
            return [
                Finding(
                    "remote",
                    "warning",
                    kinds,
                    f"{kinds} would need the network, and was not looked at",
                    remedy="clearlift-cron doctor --online",
                )
            ]
        async with open_world(flags, "ro") as world:
            await self._tables(world)
        return []

    async def _tables(self, world: World) -> None:
        db, queue = world.backend.db, world.backend.queue
        self.findings += _delivery(queue)
        if isinstance(db, SqliteDatabase):
            self.findings += database.durability(*await durability(db))
        names, lacking = migration_names(), await pending(db)
        self.findings += database.schema(names, lacking)
        if lacking:
            return
        await self._look("key", partial(self._key, world))
        await self._look("work", partial(self._work, world))

    async def _key(self, world: World) -> Iterable[Finding]:
        if {"ENCRYPTION_KEY", "ENCRYPTION_KEY_FILE"} & self._wrong:
            return []
        sample = await world.backend.vault.sample(tokens.SAMPLE)
        if world.settings.encryption_key is None and not sample:
            return tokens.no_key_yet()
        stored = [each for each in sample if isinstance(each, StoredCredentials)]
        return tokens.key(cipher_of(world.settings), stored)

    async def _work(self, world: World) -> Iterable[Finding]:
        checkup = SqlCheckup(world.backend.db)
        settings, now_ms = world.settings, world.clock.now()
        try:
            gap_ms = longest_gap(settings.cron, now_ms)
        except ConfigurationError as exc:
            self._broken("schedule", str(exc))
            settings = msgspec.structs.replace(settings, cron=DEFAULT_CRON)
            world, gap_ms = world._replace(settings=settings), longest_gap(DEFAULT_CRON, now_ms)
        seen = await look(world)
        claims = await checkup.claims()
        self._platforms = tokens.refreshable(seen.crowds)
        self.findings += [
            *work.rescued(len(await world.rescue.kept())),
            *work.timestamps(await checkup.times()),
            *work.stuck(seen.crowds, settings.schedule.job_limit_ms),
            *work.ticks(seen),
            *work.consumer(seen.queue, claims, now_ms),
            *work.alarms(seen),
            *tokens.clients(settings.providers, seen.crowds),
        ]
        margin_ms = settings.refresh_margin_s * 1000
        return tokens.margin(margin_ms, gap_ms, _wait_ms(seen, claims))

    async def _elsewhere(self, settings: Settings) -> Iterable[Finding]:
        from clearlift_adapters.doctor import online  # noqa: PLC0415  it loads httpx

        urls = {
            name: provider.endpoint.url
            for name, provider in settings.providers.items()
            if (provider.problem is None if self._platforms is None else name in self._platforms)
        }
        if not urls or _is_remote(settings.database) or _is_remote(settings.queue or ""):
            base_url = settings.cloudflare_api_base_url
            urls["cloudflare"] = Endpoint(base_url, "CLOUDFLARE_API_BASE_URL").url
        return online.reachable(await online.asked(urls))


def _delivery(queue: Queue) -> Iterable[Finding]:
    if isinstance(queue, NoQueue):
        found, _, remedy = NO_QUEUE.partition(": ")
        return [Finding("delivery", "error", "CLEARLIFT_QUEUE", found, remedy=remedy)]
    return work.delivery(queue.name, queue.level)


def _wait_ms(seen: Overview, claims: Claims) -> int:
    """Return how long a job waits until somebody works on it."""
    oldest = None if seen.queue is None else seen.queue.oldest_at
    age_ms = 0 if oldest is None else max(seen.at - oldest, 0)
    return min(max(claims.wait_ms, age_ms), _WAIT_MAX_MS)


def _is_remote(url: str) -> bool:
    return not url.startswith("sqlite:") and bool(url)


def _serving(settings: Settings) -> Iterable[Finding]:
    """Return whether `serve` would take the token, if there is one."""
    if settings.serve_token is None:
        return []
    problem = token_problem(settings.serve_token.value)
    return [
        Finding(
            "serve_token",
            "ok" if problem is None else "error",
            "CLEARLIFT_SERVE_TOKEN",
            problem or "whoever asks a server can send the token",
            remedy=None if problem is None else MAKE_ONE,
        )
    ]
