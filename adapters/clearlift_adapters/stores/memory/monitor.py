"""The port Monitor over plain dicts."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec

from clearlift_adapters.stores.memory.tables import ConnectionRow, MemoryDatabase, RunRow
from clearlift_adapters.stores.timestamps import milliseconds
from clearlift_engine.alerts import AUDITS
from clearlift_engine.machine import State
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
from clearlift_engine.stream import Stream

_Kind = tuple[str, State | None, bool, bool]


class _Report(msgspec.Struct):
    due: int = 0
    refreshed: int = 0
    jobs_created: int = 0
    failed: int = 0
    deferred: int = 0
    delivered: int = 0
    duration_ms: int | None = None
    cpu_ms: int | None = None
    error: str | None = None


class _Audited(msgspec.Struct):
    events: int | None = None
    violations: int | None = None


class MemoryMonitor:
    """The port Monitor."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def crowds(self, *, now_ms: int, job_limit_ms: int) -> Sequence[Crowd]:
        connections, expired, expiring, stuck = (Counter[_Kind]() for _ in range(4))
        for row in self._db.connections.values():
            stream = self._db.stream(row.id)
            kind = _kind(row, stream)
            ends = _second(row.expires_at)
            connections[kind] += 1
            expired[kind] += row.expires_at is not None and (ends or 0) < now_ms
            expiring[kind] += ends is not None and now_ms <= ends < now_ms + EXPIRING_MS
            alive = max(self._db.moved_at(row.id), _second(row.last_synced_at) or 0)
            stuck[kind] += row.sync_status == "syncing" and alive <= now_ms - job_limit_ms
        return [
            Crowd(*kind, connections[kind], expired[kind], expiring[kind], stuck[kind])
            for kind in sorted(connections, key=str)
        ]

    async def crowds_at(self, at_ms: int) -> Sequence[Crowd]:
        states: dict[str, State] = {}
        for position in sorted(self._db.outbox):
            entry = self._db.outbox[position]
            if entry.occurred_at <= at_ms:
                states[entry.connection_id] = cast("State", entry.target)
        counts = Counter[tuple[str, State]]()
        for connection_id, state in states.items():
            counts[self._platform(connection_id) or "", state] += 1
        return [
            Crowd(platform, state, active=True, needs_reconnect=False, connections=number)
            for (platform, state), number in sorted(counts.items())
        ]

    async def backlog(self) -> Backlog:
        waiting = [
            self._db.job_entry(projected).occurred_at
            for projected in self._db.state.values()
            if projected.stream.state == "job_created"
        ]
        return Backlog(len(waiting), min(waiting, default=None))

    async def runs(
        self, *, since_ms: int, until_ms: int | None = None, limit: int
    ) -> Sequence[RunFact]:
        recent = [
            run
            for run in self._db.runs.values()
            if since_ms <= run.started_at and (until_ms is None or run.started_at <= until_ms)
        ]
        recent.sort(key=lambda run: (run.started_at, run.id), reverse=True)
        return [fact(run) for run in recent[:limit]]

    async def gates(self) -> Sequence[Gate]:
        return [self._db.gates[name] for name in sorted(self._db.gates)]

    async def worst(self, *, limit: int) -> Sequence[Trouble]:
        failed = [each for each in self._db.state.values() if each.stream.state == "failed"]
        failed.sort(
            key=lambda each: (
                -each.stream.failures,
                each.stream.changed_at,
                each.stream.connection_id.encode(),
            )
        )
        return [self._trouble(each.stream) for each in failed[:limit]]

    async def flows(self, *, since_ms: int, limit: int) -> Sequence[Flow]:
        newest = sorted(self._db.outbox)[-limit:]
        entries = [self._db.outbox[each] for each in newest]
        moves = defaultdict[tuple[str | None, str, str], list[int]](list)
        for entry in entries:
            if entry.occurred_at >= since_ms:
                moves[entry.source, entry.transition, entry.target].append(entry.occurred_at)
        return [
            Flow(
                cast("State | None", source),
                transition,
                cast("State", target),
                len(times),
                min(times),
            )
            for (source, transition, target), times in sorted(moves.items(), key=_in_order)
        ]

    async def audits(self, *, since_ms: int) -> Sequence[Audit]:
        newest: dict[str, Audit] = {}
        for run in sorted(self._db.runs.values(), key=lambda run: run.started_at):
            if run.started_at >= since_ms and run.outcome is not None and run.command in AUDITS:
                said = _decoded(run, _Audited)
                newest[run.command] = Audit(
                    run.command, run.started_at, run.outcome, said.events, said.violations
                )
        return [newest[command] for command in sorted(newest)]

    def _trouble(self, stream: Stream) -> Trouble:
        row = self._db.connection(stream.connection_id)
        failure = max(
            (
                entry
                for entry in self._db.outbox.values()
                if entry.connection_id == stream.connection_id and entry.transition == "sync_failed"
            ),
            key=lambda entry: entry.version,
        )
        return Trouble(
            stream.connection_id,
            None if row is None else row.platform,
            None if row is None else row.account_name,
            stream.failures,
            failure.occurred_at,
            stream.retry_at,
            failure.data,
        )

    def _platform(self, connection_id: str) -> str | None:
        row = self._db.connection(connection_id)
        return None if row is None else row.platform


def _in_order(move: tuple[tuple[str | None, str, str], object]) -> tuple[str, str, str]:
    (source, transition, target), _ = move
    return source or "", transition, target


def _kind(row: ConnectionRow, stream: Stream) -> _Kind:
    dead = stream.state == "failed" and stream.retry_at is None
    return row.platform, stream.state, row.is_active == 1, dead


def _second(raw: object) -> int | None:
    """Return a time as SQL's unixepoch has it: without its milliseconds."""
    ms = milliseconds(raw)
    return None if ms is None else ms // 1000 * 1000


_Shape = TypeVar("_Shape", _Report, _Audited)


def _decoded(run: RunRow, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(run.report or "{}", type=shape)
    except msgspec.MsgspecError:
        return shape()


def fact(run: RunRow) -> RunFact:
    """Return a run with what its report counts."""
    report = _decoded(run, _Report)
    if report.duration_ms is None and run.finished_at is not None:
        report.duration_ms = run.finished_at - run.started_at
    report.cpu_ms = run.cpu_ms
    return RunFact(
        run.id,
        run.command,
        run.started_at,
        run.finished_at,
        run.outcome,
        *msgspec.structs.astuple(report),
    )
