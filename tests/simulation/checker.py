"""What must hold at the end of every history, read from the raw tables and from all ledgers."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tests.simulation.logbook import Logbook
from tests.simulation.providers import Providers
from tests.simulation.scope import MINUTE_MS
from tests.simulation.tokens import (
    check_all_stored,
    check_claims,
    check_pace,
    check_pauses,
    check_uses,
)
from tests.simulation.transport import Broker
from tests.simulation.world import World, at

PROJECTED: Final = (
    *("state", "version", "hash", "changed_at", "job_id", "lease_until", "retry_at"),
    *("failures", "credentials", "in_doubt", "paused_at"),
)
WEEK_MS: Final = 7 * 24 * 60 * MINUTE_MS


def check(world: World, providers: Providers, broker: Broker) -> None:
    """Report every promise that was broken in a history that is over."""
    log = Logbook(world.db, exact_clocks=not world.mix.skew_ms)
    for broken in log.broken:
        world.violation(broken)
    check_projection(world, log)
    check_jobs(world, log)
    check_queue(world, log, broker)
    check_claims(world, log, providers)
    check_uses(world, providers)
    check_all_stored(world, providers)
    check_pace(world, providers)
    check_pauses(world, providers)


def check_projection(world: World, log: Logbook) -> None:
    """Hold connection_state against the checker's own fold, and the marks of users' rows."""
    if set(log.folds) != set(world.db.state):
        world.violation("log and projection know different connections")
    for connection_id, projected in world.db.state.items():
        folded, stream = log.folds[connection_id], projected.stream
        wrong = [name for name in PROJECTED if getattr(folded, name) != getattr(stream, name)]
        if wrong or projected.position != folded.position:
            world.violation(f"the projection of {connection_id} is not its fold: {wrong}")


def check_jobs(world: World, log: Logbook) -> None:
    """Every job of the log has its row, with the same window, and the other way round."""
    for job_id, (entry, message) in log.created.items():
        row = world.db.jobs.get(job_id)
        if row is None:
            if world.db.connection(entry.connection_id) is not None:
                world.violation(f"job {job_id} has no row")
            continue
        check_window(world, entry.connection_id, message)
        metadata = json.loads(row.metadata or "{}")
        window = {"type": message["job_type"], **message["sync_window"]}
        if metadata.get("sync_window") != window or row.connection_id != entry.connection_id:
            world.violation(f"row and message of {job_id} differ")
    for job in world.db.jobs.values():
        if job.metadata != "{}" and job.id not in log.created:
            world.violation(f"the row of job {job.id} is in no log")


def check_window(world: World, connection_id: str, message: Mapping[str, Any]) -> None:
    """A window covers seven days at first, and then no less than the connection's interval."""
    begin, end = (at(message["sync_window"][side]) for side in ("start", "end"))
    own = world.db.settings.get(connection_id)
    interval_ms = world.mix.interval_ms if own is None else own * 1000
    if message["job_type"] == "full" and end - begin != WEEK_MS:
        world.violation(f"the first window of {connection_id} is not a week")
    if message["job_type"] == "incremental" and end - begin <= interval_ms:
        world.violation(f"{connection_id} was not due for job {message['job_id']}")


def check_queue(world: World, log: Logbook, broker: Broker) -> None:
    """Every job's message is in the queue, once, or as often as nobody could know of it."""
    stored: Counter[str] = Counter()
    for job_id, body in broker.bodies():
        stored[job_id] += 1
        if job_id not in log.created:
            world.violation(f"the queue has a message of job {job_id}, which nobody made")
        elif json.loads(body) != log.created[job_id][1]:
            world.violation(f"the message of job {job_id} is not the one in the log")
    for job_id in sorted(log.enqueued - set(stored)):
        world.violation(f"the message of job {job_id} is lost")
    for job_id in sorted(log.rejected & set(stored)):
        world.violation(f"the queue has job {job_id}, which counts as refused")
    doubts = Counter(
        job_id for handed in broker.handed if handed.unknown for job_id in handed.job_ids
    )
    forgets = broker.level in {"windowed", "at_least_once"}
    for job_id, times in stored.items():
        allowed = doubts[job_id] if forgets else 0
        if times - 1 > allowed and not (forgets and world.mix.wild):
            world.violation(f"the queue has job {job_id} {times} times, {allowed} doubts")


def unserved(world: World, since_ms: int) -> list[str]:
    """Return what a healthy worker has still to do for those that were due since a moment."""
    found: list[str] = []
    for row in world.db.connections.values():
        if row.is_active != 1:
            continue
        if at(row.last_synced_at) < since_ms:
            found.append(f"{row.id} was not served")
        projected = world.db.state.get(row.id)
        if projected is not None and projected.stream.state in {"refreshing", "job_created"}:
            found.append(f"{row.id} is {projected.stream.state}")
    return found
