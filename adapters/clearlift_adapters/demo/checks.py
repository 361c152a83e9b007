"""What must be true after the day, asked of the file that is left and of those who were there.

Nothing here takes the worker's word for it: the providers say how they were asked, the consumer
what it got, and the database is read by queries of its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from clearlift_adapters.demo.api_worker import ApiWorker
from clearlift_adapters.demo.day import Ledger
from clearlift_adapters.demo.provider import MARK, Ending, Providers
from clearlift_adapters.demo.stage import SCHEDULE, TICK_MS
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import Database
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.replay import ReplayReport

PACES: Final = {"google": (10, 1000), "tiktok": (10, 1000), "facebook": (200, HOUR_MS)}  # Per ms.
LATELY_MS: Final = 3 * HOUR_MS  # After a connection's own interval: room for one bad job or two.
_READ_BYTES: Final = 1 << 20

_JOBS_CREATED: Final = Query(
    "jobs_created", "SELECT job_id FROM outbox WHERE transition = 'job_created'"
)
_JOBS_ENQUEUED: Final = Query(
    "jobs_enqueued", "SELECT job_id FROM outbox WHERE transition = 'job_enqueued'"
)
_JOB_ROWS: Final = Query(
    "job_rows",
    "SELECT id, status FROM sync_jobs WHERE metadata ->> '$.created_by' = 'cron-worker'",
)
_QUEUED: Final = Query("queued", "SELECT job_id, attempts, dead_at IS NOT NULL FROM queue_messages")
_SIGNS_OF_LIFE: Final = Query(
    "signs_of_life",
    """
    SELECT c.id, max(coalesce(unixepoch(c.last_synced_at), 0), coalesce((
      SELECT max(unixepoch(j.created_at)) FROM sync_jobs AS j
      WHERE j.connection_id = c.id AND j.status IN ('pending', 'running')
    ), 0)) * 1000
    FROM platform_connections AS c
    """,
)


class Check(msgspec.Struct, frozen=True):
    """Something that must hold, whether it does, and by what it was seen."""

    what: str
    ok: bool
    seen: str


async def check_all(
    db: Database, file: Path, ledger: Ledger, replayed: ReplayReport
) -> Sequence[Check]:
    """Return every check, whatever came of it."""
    return [
        _one_open_job(ledger),
        await _one_message_a_job(db),
        await _one_effect_a_job(db, ledger),
        await _nobody_forgotten(db, ledger),
        _dead_grants(ledger.providers),
        _spent_tokens(ledger.providers),
        _paces(ledger.providers),
        _left_alone(ledger.providers),
        _nothing_in_clear(file),
        _replayed(replayed),
    ]


async def served_lately(db: Database, ledger: Ledger) -> set[str]:
    """Return the connections that were synced lately, or have a young job."""
    own = {
        member.connection_id: (member.part.interval_s or 0) * 1000
        for member in ledger.api_worker.members
    }
    return {
        connection_id
        for connection_id, at_ms in await db.read(_SIGNS_OF_LIFE)
        if ledger.ends_at - LATELY_MS - max(own[connection_id], SCHEDULE.interval_ms)
        <= at_ms
        <= ledger.ends_at
    }


def _one_open_job(ledger: Ledger) -> Check:
    twice = sorted(set(ledger.open_twice))
    seen = "asked after every tick" if not twice else f"but {', '.join(twice[:3])}"
    return Check("no connection ever had two open jobs", not twice, seen)


async def _one_message_a_job(db: Database) -> Check:
    created = [row[0] for row in await db.read(_JOBS_CREATED)]
    enqueued = [row[0] for row in await db.read(_JOBS_ENQUEUED)]
    rows = [row[0] for row in await db.read(_JOB_ROWS)]
    ok = len(set(created)) == len(created) and sorted(created) == sorted(enqueued) == sorted(rows)
    seen = f"{len(created)} decided, {len(rows)} rows in sync_jobs, {len(enqueued)} delivered"
    return Check("every job has one row and was delivered once", ok, seen)


async def _one_effect_a_job(db: Database, ledger: Ledger) -> Check:
    consumer = ledger.consumer
    states: dict[str, str] = dict(await db.read(_JOB_ROWS))
    queued = await db.read(_QUEUED)
    dead = {job_id for job_id, _, is_dead in queued if is_dead}
    alive = {job_id: attempts for job_id, attempts, is_dead in queued if not is_dead}
    waiting = {job_id for job_id, attempts in alive.items() if attempts == 0}
    ended = {job_id for job_id, state in states.items() if state in {"completed", "failed"}}
    ok = (
        consumer.delivered.keys() | waiting == states.keys()
        and not consumer.delivered.keys() & waiting
        and consumer.ended.keys() == ended
        and consumer.ended.total() == len(ended)
    )
    where = {
        "ended": ended,
        "under way": {job_id for job_id, state in states.items() if state == "running"} - dead,
        "in the queue": {job_id for job_id, state in states.items() if state == "pending"}
        & alive.keys(),
        "dead letters": (states.keys() - ended) & dead,
    }
    where["nowhere"] = states.keys() - set().union(*where.values())
    shown = [f"{len(ids)} {what}" for what, ids in where.items() if ids or what == "ended"]
    seen = f"{', '.join(shown)}; {consumer.without_effect} repeated deliveries had no effect"
    return Check("the consumer got every job, and ended none twice", ok, seen)


async def _nobody_forgotten(db: Database, ledger: Ledger) -> Check:
    lately = await served_lately(db, ledger)
    healthy = _ids(ledger.api_worker, served=True)
    idle = _ids(ledger.api_worker, served=False) & lately
    forgotten = sorted(healthy - lately)
    seen = f"{len(healthy) - len(forgotten)} of {len(healthy)}"
    if forgotten:
        seen += f"; not {', '.join(forgotten[:3])}"
    if idle:
        seen += f"; but also {', '.join(sorted(idle)[:3])}"
    what = "everybody who can be served was served lately, and nobody else"
    return Check(what, not forgotten and not idle, seen)


def _dead_grants(providers: Providers) -> Check:
    asked = Counter(v.grant for v in providers.visits if v.ending == "dead")
    seen = f"{len(asked)} grants were found dead, by {asked.total()} requests"
    return Check("a dead grant is asked about once", asked.total() == len(asked), seen)


def _spent_tokens(providers: Providers) -> Check:
    lost, spent = _grants(providers, "lost"), _grants(providers, "spent")
    rotated = sum(v.platform == "tiktok" and v.ending == "granted" for v in providers.visits)
    seen = f"{rotated} rotations, {len(lost)} lost answer, asked about {len(spent)} more"
    what = "a rotated token is used once, but to find out about a lost answer"
    return Check(what, lost == spent, seen)


def _paces(providers: Providers) -> Check:
    most = {
        platform: _most_within((v.at for v in providers.visits if v.platform == platform), per_ms)
        for platform, (_, per_ms) in PACES.items()
    }
    ok = all(most[platform] <= limit for platform, (limit, _) in PACES.items())
    seen = (
        f"Google {most['google']} and TikTok {most['tiktok']} in any second (10 allowed), "
        f"Facebook {most['facebook']} in any hour (200 allowed)"
    )
    return Check("no provider was asked faster than it allows", ok, seen)


def _left_alone(providers: Providers) -> Check:
    """Count the ticks that asked a provider that was down: the first may ask many, others one."""
    down = Counter(_ticks(providers, "down"))
    throttled = Counter(_ticks(providers, "throttled"))
    ok = all(count == 1 for count in list(down.values())[1:]) and len(throttled) <= 1
    seen = (
        f"{down.total()} requests in {len(down)} ticks while Google was down, "
        f"and {len(throttled)} tick while Facebook throttled"
    )
    what = "a provider in trouble is asked once per tick, or when it says"
    return Check(what, ok, seen)


def _nothing_in_clear(path: Path) -> Check:
    files = sorted(path.parent.glob(f"{path.name}*"))
    found = [file.name for file in files if file.is_file() and _contains(file, MARK.encode())]
    size = sum(file.stat().st_size for file in files if file.is_file())
    seen = f"searched {size // 1024} KiB" if not found else f"found in {', '.join(found)}"
    return Check("no token is stored in the clear", not found, seen)


def _replayed(report: ReplayReport) -> Check:
    violations = len(report.violations) + report.omitted
    seen = f"{report.events} events of {report.connections} connections, {violations} violations"
    what = "replay: the log holds, and explains every state and every job"
    return Check(what, violations == 0, seen)


def _ids(api_worker: ApiWorker, *, served: bool) -> set[str]:
    return {member.connection_id for member in api_worker.members if member.part.served == served}


def _grants(providers: Providers, ending: Ending) -> list[int | None]:
    return sorted((v.grant for v in providers.visits if v.ending == ending), key=str)


def _ticks(providers: Providers, ending: Ending) -> Iterable[int]:
    return (v.at // TICK_MS for v in providers.visits if v.ending == ending)


def _most_within(times: Iterable[int], period_ms: int) -> int:
    """Return the most of `times`, which ascend, that lie in any one period."""
    window: list[int] = []
    most = 0
    for at_ms in times:
        window = [earlier for earlier in window if earlier > at_ms - period_ms]
        window.append(at_ms)
        most = max(most, len(window))
    return most


def _contains(file: Path, needle: bytes) -> bool:
    overlap = b""
    with file.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            if needle in overlap + chunk:
                return True
            overlap = chunk[-len(needle) :]
    return False
