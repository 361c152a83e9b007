"""Every run that writes events has its row in `runs`: when it began, how it ended, what it said."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from clearlift_adapters.backend import open_backend
from clearlift_adapters.cli import exits
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.cli.progress import progress
from clearlift_adapters.cli.world import World, clock_of, cloudflare_of
from clearlift_adapters.ids import new_id
from clearlift_adapters.migrations import expect_migrated
from clearlift_engine.errors import CronWorkerError
from clearlift_engine.run import Note

_OUTCOMES: Final[Mapping[int, str]] = {
    exits.DONE: "done",
    exits.MANY_FAILED: "many_failed",
    exits.MISCONFIGURED: "misconfigured",
    exits.UNREACHABLE: "unreachable",
    exits.VIOLATED: "violated",
    exits.UNSATISFIED: "refused",
}


class _Meter:
    """The CPU time of this process, told in portions, so that none is told twice."""

    def __init__(self) -> None:
        self._told_ms = 0

    def portion_ms(self) -> int:
        """Return what was used, user and system, since the last portion or the beginning."""
        used_ms = round(time.process_time() * 1000)
        portion, self._told_ms = used_ms - self._told_ms, used_ms
        return portion


_METER: Final = _Meter()


class RunRow:
    """A run that has begun. `code` and `report` are for the command to fill in.

    What its `note` is told is logged, and counted for whoever watches.
    """

    def __init__(self, run_id: str, begun_at: int, note: Note) -> None:
        self.id, self.begun_at, self.note = run_id, begun_at, note
        self.code = exits.DONE
        self.report: object = None


@asynccontextmanager
async def recorded(world: World, command: str, run_id: str | None = None) -> AsyncGenerator[RunRow]:
    """Record a run from its beginning to its end, whichever way it ends, short of being killed.

    From then on every line of the log bears its id.
    """
    journal, clock = world.backend.journal, world.clock
    run = RunRow(run_id or new_id(), clock.now(), world.log.note)
    world.log.carry(run_id=run.id)
    # Not waited for: where each question is a request, it goes along with the first one.
    beginning = asyncio.ensure_future(journal.begin(run.id, command, now_ms=run.begun_at))

    async def finish() -> None:
        await beginning
        outcome = _OUTCOMES.get(run.code, "failed")
        report = msgspec.json.encode(run.report)
        await journal.finish(
            run.id,
            now_ms=clock.now(),
            outcome=outcome,
            report=report,
            cpu_ms=_METER.portion_ms(),
        )

    try:
        with progress(command, world.log) as shown:
            run.note = shown.note
            yield run
    except BaseException as exc:
        run.code, run.report = exits.code_of(exc), {"error": type(exc).__name__}
        with suppress(CronWorkerError):  # What went wrong may be the database.
            await finish()
        raise
    await finish()


async def noted(flags: Flags, command: str, began_at: int, code: int, report: object) -> None:
    """Record a run that only reads, once it is over; where that cannot be written, it is not.

    Whoever audits a copy, or may read only, gets the result all the same.
    """
    settings, clock = flags.settings, clock_of(flags, writes=False)
    access = cloudflare_of(settings, clock)
    try:
        async with open_backend(settings.database, mode="rw", cloudflare=access) as backend:
            await expect_migrated(backend.db)
            journal, run_id = backend.journal, new_id()
            await journal.begin(run_id, command, now_ms=began_at)
            outcome = _OUTCOMES.get(code, "failed")
            encoded = msgspec.json.encode(report)
            await journal.finish(
                run_id,
                now_ms=clock.now(),
                outcome=outcome,
                report=encoded,
                cpu_ms=_METER.portion_ms(),
            )
    except CronWorkerError as exc:
        flags.log.note("info", "the audit is not recorded", why=str(exc))
