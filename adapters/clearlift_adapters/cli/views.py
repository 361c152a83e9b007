"""What is served, from the database that the settings name; and ticks that are asked for.

However many look at a page, the database is looked at once in FRESH_S.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import click
import msgspec

from clearlift_adapters.cli import exits
from clearlift_adapters.cli.connections import ConnectionView, viewed
from clearlift_adapters.cli.metrics import metrics_of
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.cli.report import facts_of, life_of, waits_for
from clearlift_adapters.cli.schedule import next_after
from clearlift_adapters.cli.status import view_of
from clearlift_adapters.cli.stopping import Stop
from clearlift_adapters.cli.tick import code_of, ticked
from clearlift_adapters.cli.timeline import EventView, event_view
from clearlift_adapters.cli.tracing import traced
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.migrations import pending
from clearlift_engine.errors import ConfigurationError, CronWorkerError

if TYPE_CHECKING:  # They load starlette and jinja2.
    from clearlift_adapters.web.app import TickAnswer
    from clearlift_adapters.web.facts import Facts, Life

FRESH_S: Final = 2.0
DEADLINE_S: Final = 600.0  # Of a tick, as the command has it.

_Kept = TypeVar("_Kept")


class LifeTwin(msgspec.Struct, frozen=True):
    """What `/connections/ID.json` answers."""

    connection: ConnectionView
    waits_for: str | None
    timeline: list[EventView]


class Ticker:
    """Runs ticks in this process, one at a time."""

    def __init__(self, flags: Flags, stop: Stop) -> None:
        self._flags, self._stop = flags, stop
        self._under_way = asyncio.Lock()

    async def tick(self) -> tuple[bytes, int, str]:
        """Run one as the command does; return its report as JSON, its exit code, its problems.

        Raises:
            TickUnderWayError: another one of this process has not ended.
        """
        from clearlift_adapters.web.app import TickUnderWayError  # noqa: PLC0415  starlette

        if self._under_way.locked():
            raise TickUnderWayError
        async with self._under_way:
            with traced(self._flags, "tick") as tracing:
                outcome = await ticked(
                    self._flags,
                    tracing,
                    delivers=False,
                    limit=None,
                    deadline_s=DEADLINE_S,
                    stopping=lambda: nullcontext(self._stop),
                )
                code = code_of(outcome, self._flags.settings)
                tracing.note(outcome, code)
        return msgspec.json.encode(outcome.report), code, "; ".join(outcome.problems)


class _Remembered(Generic[_Kept]):
    """A look that is not taken again for FRESH_S, however many ask."""

    def __init__(self, flags: Flags, look: Callable[[World], Awaitable[_Kept]]) -> None:
        self._flags, self._look = flags, look
        self._one_at_a_time = asyncio.Lock()
        self._seen: tuple[float, _Kept] | None = None

    async def get(self) -> _Kept:
        """Return what was seen just now, or look."""
        async with self._one_at_a_time:
            if self._seen is None or time.monotonic() > self._seen[0] + FRESH_S:
                async with open_world(self._flags, "ro") as world:
                    found = await self._look(world)
                self._seen = time.monotonic(), found
            return self._seen[1]


class LiveViews:
    """What is served, from the database that the settings name."""

    def __init__(self, flags: Flags, ticker: Ticker) -> None:
        self._flags, self._ticker = flags, ticker
        self._facts = _Remembered(flags, facts_of)
        self._metrics = _Remembered(flags, metrics_of)

    async def facts(self) -> "Facts":
        return await self._facts.get()

    async def status(self) -> bytes:
        return msgspec.json.encode(view_of((await self._facts.get()).overview))

    async def metrics(self) -> bytes:
        return await self._metrics.get()

    async def life(self, connection_id: str) -> "Life | None":
        try:
            async with open_world(self._flags, "ro") as world:
                return await life_of(world, connection_id)
        except click.BadParameter:
            return None

    async def life_json(self, connection_id: str) -> bytes | None:
        try:
            async with open_world(self._flags, "ro") as world:
                view = await viewed(world, connection_id)
                lines = (await life_of(world, connection_id)).lines
        except click.BadParameter:
            return None
        timeline = [event_view(connection_id, line) for line in lines]
        return msgspec.json.encode(LifeTwin(view, waits_for(view), timeline))

    async def unready(self) -> str | None:
        try:
            async with open_world(self._flags, "ro") as world:
                lacking = await pending(world.backend.db)
                await world.backend.monitor.backlog()
        except CronWorkerError as exc:
            return str(exc)
        return f"{len(lacking)} migrations are not applied" if lacking else None

    async def tick(self, cron: str | None) -> "TickAnswer":
        from clearlift_adapters.web.app import BadRequestError, TickAnswer  # noqa: PLC0415  starlette

        try:
            if cron is not None:
                next_after(cron, 0)
        except ConfigurationError:
            said = f"cron is {str(cron)[:80]!r}: it must be a cron expression of five fields"
            raise BadRequestError(said) from None
        report, code, problems = await self._ticker.tick()
        well = code in (exits.DONE, exits.MANY_FAILED)
        return TickAnswer(report, None if well else problems)
