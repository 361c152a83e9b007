"""What a newcomer is told in the end, read from the file that the day has left."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from clearlift_adapters.backend import Backend, open_backend
from clearlift_adapters.demo.checks import Check, check_all, served_lately
from clearlift_adapters.demo.day import Ledger
from clearlift_adapters.demo.stage import SCHEDULE, url_of
from clearlift_adapters.demo.story import INCIDENTS
from clearlift_adapters.ids import new_id
from clearlift_adapters.stores.queries import Query
from clearlift_engine.policy import MINUTE_MS, Blocked, Clause, assess, iso
from clearlift_engine.preview import REASONS
from clearlift_engine.replay import ReplayReport, replay
from clearlift_engine.timeline import TimelineLine, timeline

PAGE: Final = "clearlift-report.html"  # Beside the database.

_AT_ONCE: Final = 500
_EXAMPLE: Final = "example"  # The part whose life is told.

_TOTALS: Final = Query(
    "totals",
    """
    SELECT
      c.platform, c.id,
      count(*) FILTER (WHERE o.transition = 'job_created'),
      count(*) FILTER (WHERE o.transition = 'job_enqueued'),
      count(*) FILTER (WHERE o.transition = 'job_created' AND o.data ->> '$.refresh' IS NOT NULL),
      count(*) FILTER (WHERE o.transition = 'sync_failed')
    FROM platform_connections AS c LEFT JOIN outbox AS o ON o.connection_id = c.id
    GROUP BY c.id
    ORDER BY c.platform, c.id
    """,
)
_FAILURES: Final = Query(
    "failures",
    """
    SELECT c.platform, o.data ->> '$.class', o.data ->> '$.message',
      count(DISTINCT o.connection_id), count(*)
    FROM outbox AS o JOIN platform_connections AS c ON c.id = o.connection_id
    WHERE o.transition = 'sync_failed'
    GROUP BY 1, 2, 3
    ORDER BY 1, 5 DESC, 3
    """,
)
_RUNS: Final = Query(
    "runs",
    "SELECT count(*), sum(report ->> '$.deferred') FROM runs WHERE command = 'tick'",
)


class Totals(msgspec.Struct):
    """What became of some connections in a day."""

    connections: int = 0
    jobs: int = 0
    delivered: int = 0
    refreshed: int = 0
    failed: int = 0


class Failure(msgspec.Struct, frozen=True):
    """A reason why connections failed, as the log gives it."""

    platform: str
    failure_class: str = msgspec.field(name="class")
    message: str
    connections: int
    times: int


class Condition(msgspec.Struct, frozen=True):
    """A kind of connection in the cast, and what became of it."""

    platform: str
    condition: str
    totals: Totals
    at_the_end: str


class Happened(msgspec.Struct, frozen=True):
    """An incident of the day."""

    at: str
    what: str


class DemoReport(msgspec.Struct, frozen=True):
    """What `demo --json` prints."""

    database: str
    page: str
    starts_at: str
    ends_at: str
    duration_ms: int
    ticks: int
    totals: Totals
    deferred: int
    platforms: Mapping[str, Totals]
    failures: Sequence[Failure]
    conditions: Sequence[Condition]
    incidents: Sequence[Happened]
    checks: Sequence[Check]
    replay: ReplayReport
    example: str


class Summary(msgspec.Struct, frozen=True):
    """The report, and the life of one connection beside it."""

    report: DemoReport
    life: Sequence[TimelineLine]


async def summarise(file: Path, ledger: Ledger) -> Summary:
    """Open the file anew, and read."""
    # Not "ro": who may not write leaves the files of the write-ahead log behind.
    async with open_backend(url_of(file)) as backend:
        replayed = await _audited(backend, ledger.ends_at)
        [(ticks, deferred)] = await backend.db.read(_RUNS)
        per_connection = await _per_connection(backend)
        example = ledger.api_worker.named(_EXAMPLE)[0].connection_id
        report = DemoReport(
            database=str(file),
            page=str(file.with_name(PAGE)),
            starts_at=iso(ledger.starts_at),
            ends_at=iso(ledger.ends_at),
            duration_ms=ledger.duration_ms,
            ticks=ticks,
            totals=_sum(each for _, each in per_connection.values()),
            deferred=deferred,
            platforms=_by_platform(per_connection),
            failures=[Failure(*row) for row in await backend.db.read(_FAILURES)],
            conditions=await _conditions(backend, ledger, per_connection),
            incidents=[
                Happened(iso(ledger.starts_at + each.minute * MINUTE_MS), each.says)
                for each in INCIDENTS
            ],
            checks=await check_all(backend.db, file, ledger, replayed),
            replay=replayed,
            example=example,
        )
        [history] = [history async for history in backend.archive.histories([example])]
    return Summary(report, timeline(history))


async def _audited(backend: Backend, now_ms: int) -> ReplayReport:
    """Replay, and record it as the command does."""
    replayed, run_id = await replay(backend.archive), new_id()
    outcome = "violated" if replayed.violations else "done"
    brief = {"events": replayed.events, "violations": len(replayed.violations)}
    await backend.journal.begin(run_id, "replay", now_ms=now_ms)
    report = msgspec.json.encode(brief)
    await backend.journal.finish(run_id, now_ms=now_ms, outcome=outcome, report=report)
    return replayed


_PerConnection = Mapping[str, tuple[str, Totals]]  # By id: platform, and its own totals.


async def _per_connection(backend: Backend) -> _PerConnection:
    return {
        connection_id: (platform, Totals(1, jobs, delivered, refreshed, failed))
        for platform, connection_id, jobs, delivered, refreshed, failed in await backend.db.read(
            _TOTALS
        )
    }


def _by_platform(per_connection: _PerConnection) -> Mapping[str, Totals]:
    platforms = sorted({platform for platform, _ in per_connection.values()})
    return {
        name: _sum(each for platform, each in per_connection.values() if platform == name)
        for name in platforms
    }


async def _conditions(
    backend: Backend, ledger: Ledger, per_connection: _PerConnection
) -> Sequence[Condition]:
    """Return the cast in its order, each kind with what the engine says of it in the end."""
    lately = await served_lately(backend.db, ledger)
    clauses = await _clauses(backend, ledger.ends_at)
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for member in ledger.api_worker.members:
        groups[member.platform, member.part.says].append(member.connection_id)
    return [
        Condition(
            platform,
            says,
            _sum(per_connection[connection_id][1] for connection_id in ids),
            _at_the_end(ids, lately, clauses),
        )
        for (platform, says), ids in groups.items()
    ]


async def _clauses(backend: Backend, now_ms: int) -> Mapping[str, Clause | None]:
    """Return why each connection would not be served now; None: it would."""
    found: dict[str, Clause | None] = {}
    after = 0
    while refs := await backend.survey.refs(after=after, limit=_AT_ONCE):
        for conn in await backend.store.candidates(refs):
            said = assess(conn, now_ms, SCHEDULE)
            found[conn.connection_id] = said.clause if isinstance(said, Blocked) else None
        after = refs[-1]
    return found


def _at_the_end(ids: Sequence[str], lately: set[str], clauses: Mapping[str, Clause | None]) -> str:
    left: list[Clause | None] = [
        clauses[connection_id] for connection_id in ids if connection_id not in lately
    ]
    if not left:
        return "served"
    clause = max(left, key=left.count)
    return "it is its turn" if clause is None else REASONS[clause]


def _sum(several: Iterable[Totals]) -> Totals:
    total = Totals()
    for each in several:
        total.connections += each.connections
        total.jobs += each.jobs
        total.delivered += each.delivered
        total.refreshed += each.refreshed
        total.failed += each.failed
    return total
