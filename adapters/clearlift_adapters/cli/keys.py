"""`keys`: which key opens the stored tokens, and how to come from an old key to a new one.

Both read every connection, due or not. `rotate` needs no pause of anything else: what a tick or the
API worker writes meanwhile is newer and stays, and what was begun and killed goes on where it was,
for what is under today's key already is left alone.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.numbers import count
from clearlift_adapters.cli.options import Flags, Group
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line
from clearlift_adapters.cli.runs import recorded
from clearlift_adapters.cli.stopping import stop_on_signal
from clearlift_adapters.cli.world import World, cipher_of, open_world
from clearlift_adapters.credentials import StoredCredentials

if TYPE_CHECKING:  # They load cryptography.
    from clearlift_adapters.cipher import FieldCipher
    from clearlift_adapters.rekeying import Examined
    from clearlift_adapters.stores.keyring import Reencrypted

PROBLEMS_MAX: Final = 1_000  # In the report; the counts are always whole.
_TRIES: Final = 3  # On a connection that others write to at the same time.
_SHOWN: Final = 20  # Problems that a person is shown.
_USABLE: Final = ("current", "previous")
_NO_KEY: Final = "no key opens it"  # In a table: "none" would read as no problem.


class Problem(msgspec.Struct, frozen=True):
    """An encrypted column that cannot be used, and why."""

    connection_id: str
    column: str
    standing: str


class VerifyReport(msgspec.Struct, frozen=True):
    """What `keys verify --json` prints: connections, then encrypted columns by how they stand."""

    connections: int
    current: int
    previous: int
    none: int
    malformed: int
    copied: int
    misplaced: int
    problems: Sequence[Problem]


class RotateReport(msgspec.Struct, frozen=True):
    """What `keys rotate --json` prints."""

    run_id: str | None  # None: a dry run leaves no trace.
    connections: int  # Looked at,
    rotated: int  # encrypted anew, or with --dry-run: would be,
    moved: int  # and written to by others so often that they have to be looked at again.
    columns: int  # Encrypted anew.
    unreadable: int  # Columns left as they are: no key opens them, or they are malformed.
    misplaced: int  # Columns left as they are: copied, or written for another place.
    duration_ms: int


@click.group("keys", cls=Group, short_help="See which key opens what; encrypt anew.")
def command() -> None:
    """See which key opens the stored tokens, and bring them under a new key."""


@command.command("verify", short_help="Say which key opens which tokens.")
@click.pass_obj
def verify(flags: Flags) -> int:
    """Try every encrypted column with ENCRYPTION_KEY and with each of ENCRYPTION_KEY_PREVIOUS.

    Nothing is written. The exit code is 0 if all are under ENCRYPTION_KEY, and no previous key is
    needed any more. It is 7 if a column needs a previous one, or cannot be used: no key opens it,
    it is malformed, it stands in two places, or it was written for another place.
    """
    report = stopping.run(_verify(flags))
    if flags.json:
        print_json(report)
    else:
        _print_verified(report)
    return exits.UNSATISFIED if report.problems or report.previous else exits.DONE


@command.command("rotate", short_help="Bring all tokens under ENCRYPTION_KEY.")
@click.option("--dry-run", is_flag=True, help="Write nothing; count what would be encrypted anew.")
@click.option("--limit", type=count(), metavar="N", help="At most N connections.")
@click.pass_obj
def rotate(flags: Flags, *, dry_run: bool, limit: int | None) -> None:
    """Encrypt under ENCRYPTION_KEY whatever only a key of ENCRYPTION_KEY_PREVIOUS opens.

    Ticks, relays and the API worker may go on meanwhile, and it may be interrupted and run again.
    When `keys verify` says that nothing is left, the previous keys can be forgotten.
    """
    report = stopping.run(_dry_run(flags, limit) if dry_run else _rotate(flags, limit))
    if flags.json:
        print_json(report)
        return
    done = "would be encrypted anew" if dry_run else "encrypted anew"
    print_line(
        f"{counted(report.connections, 'connection')} looked at: {report.rotated} {done}, "
        f"{counted(report.unreadable + report.misplaced, 'column')} left that cannot be used"
    )
    if report.unreadable + report.misplaced:
        print_line("`clearlift-cron keys verify` names them")


async def _verify(flags: Flags) -> VerifyReport:
    from clearlift_adapters.rekeying import examined  # noqa: PLC0415  it loads cryptography

    cipher = cipher_of(flags.settings)
    connections, found, problems = 0, Counter[str](), list[Problem]()
    async with open_world(flags, "ro") as world:
        async for page in _pages(world):
            connections += len(page)
            for stored in page:
                for each in examined(cipher, stored):
                    found[each.standing] += 1
                    if each.standing not in _USABLE and len(problems) < PROBLEMS_MAX:
                        problems.append(Problem(stored.connection_id, each.column, each.standing))
    return VerifyReport(
        connections,
        found["current"],
        found["previous"],
        found["none"],
        found["malformed"],
        found["copied"],
        found["misplaced"],
        problems,
    )


class Rotation:
    """One `keys rotate`: what it has looked at, and what has come of it."""

    def __init__(self, cipher: "FieldCipher", limit: int | None) -> None:
        self._cipher, self._left = cipher, limit
        self._started = time.monotonic()
        self.connections = self.rotated = self.moved = 0
        self.columns = Counter[str]()

    @property
    def done(self) -> bool:
        """Return whether as many as the limit allows are encrypted anew."""
        return self._left is not None and self._left <= 0

    def changes(self, page: Sequence[StoredCredentials]) -> "Sequence[Reencrypted]":
        """Return what has to be written about these connections, within the limit."""
        found: list[Reencrypted] = []
        for stored in page:
            if self.done:
                break
            self.connections += 1
            columns, change = self._examined(stored)
            if change is not None:
                found.append(change)
                self._left = None if self._left is None else self._left - 1
            self.columns.update(each.standing for each in columns)
        self.rotated += len(found)
        return found

    async def write(self, world: World, changes: "Sequence[Reencrypted]") -> None:
        """Write, and look again at what others have written to meanwhile."""
        for _ in range(_TRIES):
            if not changes:
                return
            moved = await world.backend.keyring.replace(changes)
            self.rotated -= len(moved)
            changes = [change for each in moved if (change := self._examined(each)[1])]
            self.rotated += len(changes)
        self.rotated -= len(changes)
        self.moved += len(changes)

    def report(self, run_id: str | None) -> RotateReport:
        """Return the counts."""
        found = self.columns
        return RotateReport(
            run_id,
            self.connections,
            self.rotated,
            self.moved,
            found["previous"],
            found["none"] + found["malformed"],
            found["copied"] + found["misplaced"],
            round((time.monotonic() - self._started) * 1000),
        )

    def _examined(
        self, stored: StoredCredentials
    ) -> "tuple[Sequence[Examined], Reencrypted | None]":
        from clearlift_adapters.rekeying import examined, reencrypted  # noqa: PLC0415  see above

        columns = examined(self._cipher, stored)
        return columns, reencrypted(self._cipher, stored, columns)


async def _dry_run(flags: Flags, limit: int | None) -> RotateReport:
    rotation = Rotation(cipher_of(flags.settings), limit)
    async with open_world(flags, "ro") as world:
        await _warn(world)
        async for page in _pages(world):
            rotation.changes(page)
            if rotation.done:
                break
    return rotation.report(None)


async def _rotate(flags: Flags, limit: int | None) -> RotateReport:
    rotation = Rotation(cipher_of(flags.settings), limit)
    async with open_world(flags, "rw") as world, recorded(world, "keys rotate") as run:
        await _warn(world)
        with stop_on_signal() as stop:
            async for page in _pages(world):
                await rotation.write(world, rotation.changes(page))
                run.report = rotation.report(run.id)
                if rotation.done or stop.asked():
                    break
        report = run.report = rotation.report(run.id)
        if report.moved:
            world.log.note("warning", "others were faster: run it again", moved=report.moved)
    return report


async def _warn(world: World) -> None:
    """Say what would make a rotation pointless, or forgetting the old key afterwards a loss."""
    if not world.settings.encryption_keys_previous:
        world.log.note(
            "warning",
            "ENCRYPTION_KEY_PREVIOUS is not set: without the old key nothing can be brought "
            "under the new one",
        )
    if await world.rescue.kept():
        world.log.note(
            "warning",
            "tokens under the old key wait outside of the database: let a tick bring them home, "
            "then run this again",
        )


def _pages(world: World) -> AsyncIterator[Sequence[StoredCredentials]]:
    return world.backend.keyring.pages(world.settings.batch_size)


def _print_verified(report: VerifyReport) -> None:
    print_line(
        f"{counted(report.connections, 'connection')}: {counted(report.current, 'column')} under "
        f"the current key, {report.previous} under a previous one, {report.none} under none of "
        f"them; {report.malformed} malformed, {report.copied} copied, {report.misplaced} misplaced"
    )
    problems = Columns("connection", "column", "problem")
    problems.write(
        (
            each.connection_id,
            each.column,
            _NO_KEY if each.standing == "none" else each.standing,
        )
        for each in report.problems[:_SHOWN]
    )
    total = report.none + report.malformed + report.copied + report.misplaced
    if total > _SHOWN:
        most = "them" if total <= PROBLEMS_MAX else f"{PROBLEMS_MAX:,}"
        print_line(f"and {counted(total - _SHOWN, 'column')} more; --json names {most}")
    if report.previous:
        print_line("`clearlift-cron keys rotate` brings the rest under the current key")
