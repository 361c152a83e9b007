"""The port Monitor on a SQL database: what operators look at, in a few queries."""

from collections.abc import Sequence
from typing import Final

from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.rows import gate_in
from clearlift_adapters.stores.sql import Database
from clearlift_engine.overview import (
    EXPIRING_MS,
    Audit,
    Backlog,
    Crowd,
    Flow,
    RunFact,
    Trouble,
)
from clearlift_engine.pacing import Gate

_SQL: Final = load("monitor.sql")
_CROWDS: Final = bind(_SQL, "crowds", "now_ms", "expires_before_ms", "job_horizon_ms")
_POSITION_AT: Final = bind(_SQL, "position_at", "at_ms")
_CROWDS_AT: Final = bind(_SQL, "crowds_at", "position")
_FLOWS: Final = bind(_SQL, "flows", "after", "limit")
_AUDITS: Final = bind(_SQL, "audits", "since_ms")
_BACKLOG: Final = bind(_SQL, "backlog")
_RUNS: Final = bind(_SQL, "runs", "since_ms", "until_ms", "limit")
_GATES: Final = bind(_SQL, "gates")
_WORST: Final = bind(_SQL, "worst", "limit")
_NO_END: Final = 2**53  # Ms: what JSON's numbers still carry exactly.


class SqlMonitor:
    """The port Monitor."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def crowds(self, *, now_ms: int, job_limit_ms: int) -> Sequence[Crowd]:
        rows = await self._db.read(_CROWDS, now_ms, now_ms + EXPIRING_MS, now_ms - job_limit_ms)
        return [
            Crowd(platform, state, bool(active), bool(needs_reconnect), *map(_number, counts))
            for platform, state, active, needs_reconnect, *counts in rows
        ]

    async def crowds_at(self, at_ms: int) -> Sequence[Crowd]:
        [(position,)] = await self._db.read(_POSITION_AT, at_ms)
        rows = await self._db.read(_CROWDS_AT, position)
        return [
            Crowd(
                platform,
                state,
                active=True,
                needs_reconnect=False,
                connections=_number(connections),
            )
            for platform, state, connections in rows
            if state is not None  # It began later.
        ]

    async def backlog(self) -> Backlog:
        [(jobs, oldest_at)] = await self._db.read(_BACKLOG)
        return Backlog(_number(jobs), oldest_at)

    async def runs(
        self, *, since_ms: int, until_ms: int | None = None, limit: int
    ) -> Sequence[RunFact]:
        last_ms = _NO_END if until_ms is None else until_ms
        return [RunFact(*row) for row in await self._db.read(_RUNS, since_ms, last_ms, limit)]

    async def gates(self) -> Sequence[Gate]:
        return [gate_in(row) for row in await self._db.read(_GATES)]

    async def worst(self, *, limit: int) -> Sequence[Trouble]:
        return [Trouble(*row) for row in await self._db.read(_WORST, limit)]

    async def flows(self, *, since_ms: int, limit: int) -> Sequence[Flow]:
        [(before,)] = await self._db.read(_POSITION_AT, since_ms - 1)
        rows = await self._db.read(_FLOWS, before, limit)
        return [
            Flow(source, transition, target, _number(events), _number(first_at))
            for source, transition, target, events, first_at in rows
        ]

    async def audits(self, *, since_ms: int) -> Sequence[Audit]:
        return [Audit(*row) for row in await self._db.read(_AUDITS, since_ms)]


def _number(value: float | None) -> int:
    """Return a count; the sum of no numbers is NULL, and D1 sends every number as a float."""
    return int(value or 0)
