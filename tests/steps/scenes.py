"""Which commands are stopped: what lies there before, what follows, what must hold then."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.migrations import MIGRATIONS, migration_names
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import HOUR_MS, MINUTE_MS
from clearlift_engine.refresh import LEASE_MS
from tests.given import NOW_MS
from tests.interop.webcrypto import KEY
from tests.steps.checker import wrongs
from tests.steps.stage import Stage

AT_ONCE_MS: Final = NOW_MS + 1_000  # Every lease of the one that was stopped holds.
LATER_MS: Final = NOW_MS + 2 * LEASE_MS  # None does any more.
NEXT_MS: Final = NOW_MS + 16 * MINUTE_MS  # The next tick from cron: what failed is tried again.
LAST_MS: Final = NEXT_MS + 2 * HOUR_MS  # Long after; for what was too slow the first times.
NEW_KEY: Final = b64encode(b"a key for tests; 32 bytes it is.").decode()
TICK: Final = ("tick", "--json")
REPLAY: Final = ("replay", "--json")
LOST: Final = "the answer to an earlier refresh was lost"  # Then exit code 3 is right.
SLOW: Final = "could not be reached in time"  # Likewise, where this machine has too much to do.
READY: Final = ("c1", "c2", "c3")
EXPIRING: Final = ("google-1", "acme-1", "acme-2", "tiktok-1")

Prepare = Callable[[Stage], Awaitable[None]]
Check = Callable[[Stage], Awaitable[list[str]]]


@dataclass(frozen=True)
class Scene:
    """A command that is stopped."""

    arguments: Sequence[str]
    prepare: Prepare
    expected: Sequence[str] = READY  # Who has one job and one message in the end.
    between: Prepare | None = None  # What is done when it has run again.
    check: Check | None = None  # Beside what is checked everywhere.
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    cipher: FieldCipher = field(default_factory=lambda: FieldCipher(KEY))
    repeats: Sequence[int] = (AT_ONCE_MS,)  # When the command is run again.

    async def follow(self, stage: Stage) -> list[str]:
        """Run the command again, and the others; return whatever is wrong then."""
        last_ms = self.repeats[-1]
        wrong: list[str] = []
        for now_ms in self.repeats:
            wrong += await self._run(stage, self.arguments, now_ms)
        if self.between is not None:
            await self.between(stage)
        for arguments in (("tick", "--relay", "--json"), REPLAY):
            wrong += await self._run(stage, arguments, last_ms)
        if self.check is not None:
            wrong += await self.check(stage)
        return [*wrong, *wrongs(stage, self.expected, self.cipher)]

    async def _run(self, stage: Stage, arguments: Sequence[str], now_ms: int) -> list[str]:
        done = await stage.run(*arguments, now_ms=now_ms, told=self.environment)
        said = done.err.decode()
        is_fine = done.code == 0 or (done.code == 3 and (LOST in said or SLOW in said))
        if is_fine and "Traceback" not in said:
            return []
        return [f"{' '.join(arguments)} ended with {done.code}: {said}"]


async def before_tick(stage: Stage) -> None:
    await stage.done("migrate")
    stage.add(*READY)


async def before_refresh(stage: Stage) -> None:
    await stage.done("migrate")
    stage.add(*EXPIRING)


async def before_relay(stage: Stage) -> None:
    await before_tick(stage)
    await stage.done("tick")


async def before_rebuild(stage: Stage) -> None:
    """Have a projection that is wrong in places."""
    await before_relay(stage)
    await stage.done("relay", "--drain")
    with closing(sqlite3.connect(stage.program.file, isolation_level=None)) as db:
        db.execute("DELETE FROM connection_state WHERE connection_id = 'c1'")
        db.execute("UPDATE connection_state SET state = 'due' WHERE connection_id = 'c2'")


async def before_migrate(stage: Stage) -> None:
    """Have nothing at all."""


async def before_upgrade(stage: Stage) -> None:
    """Have what the API worker has: its own tables, with rows."""
    script = MIGRATIONS.joinpath(migration_names()[0]).read_text(encoding="utf-8")
    with closing(sqlite3.connect(stage.program.file)) as db:
        db.executescript(script)
    stage.add(*READY)


async def before_rotate(stage: Stage) -> None:
    await before_tick(stage)


async def connect_some(stage: Stage) -> None:
    """Put connections in, if there are none."""
    if not stage.program.rows("platform_connections"):
        stage.add(*READY)


async def is_migrated(stage: Stage) -> list[str]:
    """Return which migrations the ledger lacks, or has twice."""
    with closing(sqlite3.connect(stage.program.file)) as db:
        ledger = [row[0] for row in db.execute("SELECT name FROM d1_migrations ORDER BY id")]
    return [] if ledger == migration_names() else [f"the ledger says {ledger}"]


async def is_rotated(stage: Stage) -> list[str]:
    """Return what the new key alone does not open."""
    done = await stage.run("keys", "verify", told={"ENCRYPTION_KEY": NEW_KEY})
    return [] if done.code == 0 else [f"keys verify: {done.out.decode()}"]


SCENES: Final[Mapping[str, Scene]] = {
    "tick": Scene(TICK, before_tick),
    "tick --relay": Scene(("tick", "--relay", "--json"), before_tick),
    "tick, refreshing": Scene(
        TICK, before_refresh, EXPIRING, repeats=(AT_ONCE_MS, LATER_MS, NEXT_MS, LAST_MS)
    ),
    "relay": Scene(("relay", "--drain", "--batch", "2", "--json"), before_relay),
    "replay --rebuild": Scene(("replay", "--rebuild", "--json"), before_rebuild),
    "migrate": Scene(("migrate",), before_migrate, between=connect_some, check=is_migrated),
    "migrate, beside others": Scene(("migrate",), before_upgrade, check=is_migrated),
    "keys rotate": Scene(
        ("keys", "rotate", "--json"),
        before_rotate,
        check=is_rotated,
        environment={"ENCRYPTION_KEY": NEW_KEY, "ENCRYPTION_KEY_PREVIOUS": KEY},
        cipher=FieldCipher(NEW_KEY),
    ),
}
