"""relay: hand every waiting job to the queue, and record that it has it.

Handed over first and recorded second: a crash in between hands over again, and each queue says what
it makes of that (`Queue.level`). A queue in the store's own database stages the message instead,
and the commit that records it stores it: once, whatever crashes.

For every other queue one relay works at a time, by a lease, so that two do not send the same jobs.
The lease is a courtesy: a relay that slept past it and wakes up can at worst send again what its
queue has to expect anyway, and what it wants to record finds the streams moved.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from clearlift_engine import committer
from clearlift_engine.committer import AWAY, RETRY_AFTER_MS
from clearlift_engine.delivery import recorded, within
from clearlift_engine.errors import UnavailableError
from clearlift_engine.ports import (
    Accepted,
    Appended,
    Clock,
    Commit,
    Leases,
    Queue,
    Receipt,
    Rejected,
    Store,
    Waiting,
)
from clearlift_engine.run import Note

BATCH: Final = 500  # Jobs delivered together, if nobody says how many.
LEASE: Final = "relay"
LEASE_MS: Final = 60_000  # Longer than one batch may take to publish.
STANDBY_MS: Final = 1_000
PENDING_MAX: Final = 10_000  # What a relay that was stopped early still counts.


class RelayPorts(NamedTuple):
    """Everything a relay asks of the world."""

    store: Store
    queue: Queue
    leases: Leases
    clock: Clock


class RelayReport(msgspec.Struct, frozen=True):
    """What `relay --drain --json` prints."""

    run_id: str
    delivered: int
    already_delivered: int
    pending: int
    duration_ms: int


class Tally(msgspec.Struct):
    """What one relay has done so far."""

    delivered: int = 0
    already_delivered: int = 0
    lost: set[str] = msgspec.field(
        default_factory=set[str]
    )  # Jobs that another relay delivered, it seems.
    left: set[str] = msgspec.field(default_factory=set[str])  # Jobs that nothing can be done for.


async def drain(
    ports: RelayPorts,
    *,
    run_id: str,
    batch: int,
    should_stop: Callable[[], bool],
    note: Note,
    gather_ms: int = 0,
) -> RelayReport:
    """Deliver until nothing waits, or `should_stop()`.

    With `gather_ms`, what the queue takes within that time is recorded together: for a database
    where each commit is a request, and requests are counted.

    Raises:
        UnavailableError: the queue or the database is away; the order is kept, nothing is lost.
    """
    started_at = ports.clock.now()
    tally = Tally()
    pending: int | None = None
    while pending is None and not should_stop() and len(tally.left) <= PENDING_MAX:
        limit = batch + 1 + len(tally.left) + len(tally.lost)
        # Asked together, done in this order: what waits is seen under the lease.
        sends, waiting = await asyncio.gather(
            may_send(ports, run_id), ports.store.waiting(limit=limit)
        )
        if sends:
            able = [each for each in waiting if _can_be_sent(each, tally, note)]
            tally.lost.clear()
            done = await deliver(
                ports, tally, able[:batch], run_id=run_id, gather_ms=gather_ms, note=note
            )
            if len(waiting) < limit and len(able) <= batch and not tally.lost:
                pending = len(waiting) - done
        elif waiting:
            note("debug", "another relay is at work; standing by")
            await ports.clock.sleep(STANDBY_MS)
        else:
            pending = 0
    await give_way(ports, run_id)
    if pending is None:
        pending = len(await ports.store.waiting(limit=PENDING_MAX))
    return RelayReport(
        run_id=run_id,
        delivered=tally.delivered,
        already_delivered=tally.already_delivered,
        pending=pending,
        duration_ms=max(ports.clock.now() - started_at, 0),
    )


def _can_be_sent(waiting: Waiting, tally: Tally, note: Note) -> bool:
    """Return whether to try; what is damaged is said once, and does not hold up the others."""
    job_id, why = waiting.message.job_id, waiting.problem
    if job_id in tally.left:
        return False
    if job_id in tally.lost:  # Nobody has moved it: the log is ahead of where it stands.
        why = "its projection is not where its log is"
    if why is None:
        return True
    tally.left.add(job_id)
    note(
        "error",
        "a job cannot be read from the log and is left out: `replay` says what is damaged",
        connection_id=waiting.stream.connection_id,
        job_id=job_id,
        why=why,
    )
    return False


async def may_send(ports: RelayPorts, holder: str) -> bool:
    """Return whether this relay is the one to work; with the queue in our database any may."""
    if ports.queue.level == "same_transaction":
        return True
    now_ms = ports.clock.now()
    return await ports.leases.hold(LEASE, holder, now_ms=now_ms, until_ms=now_ms + LEASE_MS)


async def give_way(ports: RelayPorts, holder: str) -> None:
    """Let the next relay begin at once."""
    if ports.queue.level != "same_transaction":
        now_ms = ports.clock.now()
        await ports.leases.hold(LEASE, holder, now_ms=now_ms, until_ms=now_ms)


async def deliver(
    ports: RelayPorts,
    tally: Tally,
    waiting: Sequence[Waiting],
    *,
    run_id: str,
    gather_ms: int,
    note: Note,
) -> int:
    """Deliver a batch; return how many of its jobs do not wait any more."""
    done, since_ms = 0, ports.clock.now()
    sent: list[tuple[Waiting, Receipt]] = []
    for part in within(ports.queue.limits, waiting):
        try:
            receipts = await ports.queue.publish([each.message for each in part])
        except AWAY:
            await settle(ports, tally, sent, run_id=run_id, note=note)
            raise
        sent += zip(part, receipts, strict=True)
        if ports.clock.now() - since_ms >= gather_ms:
            done += await settle(ports, tally, sent, run_id=run_id, note=note)
            sent, since_ms = [], ports.clock.now()
    return done + await settle(ports, tally, sent, run_id=run_id, note=note)


async def settle(
    ports: RelayPorts,
    tally: Tally,
    sent: Sequence[tuple[Waiting, Receipt]],
    *,
    run_id: str,
    note: Note,
) -> int:
    """Record what the queue made of some jobs; return how many of them do not wait any more."""
    if not sent:
        return 0
    at_ms, done = ports.clock.now(), 0
    commits = [
        recorded(ports.queue, each, receipt, at_ms=at_ms, run_id=run_id) for each, receipt in sent
    ]
    appended = await append(ports, commits, note)
    for each, receipt in sent:
        why = appended.refused.get(each.stream.connection_id)
        if why is not None:  # A damaged row, say: not to be published for ever.
            fields = {"connection_id": each.stream.connection_id, "job_id": each.message.job_id}
            note("error", "a delivery cannot be recorded", why=why, **fields)
            tally.left.add(each.message.job_id)
            continue
        done += 1
        count(tally, each, receipt, note, lost=each.stream.connection_id in appended.lost)
    return done


async def append(ports: RelayPorts, commits: Sequence[Commit], note: Note) -> Appended:
    """Append; while the database is away, hold on: what is not recorded is delivered again."""
    for wait_ms in RETRY_AFTER_MS:
        try:
            return await committer.append(ports.store, commits)
        except UnavailableError as exc:
            note("warning", "the database is away; deliveries are held", why=str(exc))
            await ports.clock.sleep(wait_ms)
    return await committer.append(ports.store, commits)


def count(tally: Tally, waiting: Waiting, receipt: Receipt, note: Note, *, lost: bool) -> None:
    """Count what became of one job."""
    fields = {"connection_id": waiting.stream.connection_id, "job_id": waiting.message.job_id}
    match receipt:
        case _ if lost:
            tally.lost.add(waiting.message.job_id)
            tally.already_delivered += 1
            note("debug", "another relay delivered it", **fields)
        case Rejected(reason=reason):
            note("warning", "the queue refuses a message", why=reason, **fields)
        case Accepted(already_there=True):
            tally.already_delivered += 1
        case _:
            tally.delivered += 1
            note("debug", "job delivered", **fields)
