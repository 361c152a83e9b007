"""relay: hand every waiting job to the queue, and record that it has it.

Handed over first and recorded second: a crash in between hands over again, and each queue says what
it makes of that (`Queue.level`). A queue in the store's own database stages the message instead,
and the commit that records it stores it: once, whatever crashes.

For every other queue one relay works at a time, by a lease, so that two do not send the same jobs.
The lease is a courtesy: a relay that slept past it and wakes up can at worst send again what its
queue has to expect anyway, and what it wants to record finds the streams moved.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from clearlift_engine.decisions import sync_error
from clearlift_engine.events import Event, JobEnqueued, SyncFailed
from clearlift_engine.policy import backoff
from clearlift_engine.ports import (
    Accepted,
    Clock,
    Commit,
    Leases,
    Limits,
    Message,
    Queue,
    Receipt,
    Rejected,
    Staged,
    Store,
    Waiting,
)
from clearlift_engine.run import Note
from clearlift_engine.stream import record

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
    rejected: int = 0


async def drain(
    ports: RelayPorts,
    *,
    run_id: str,
    batch: int,
    should_stop: Callable[[], bool],
    note: Note,
) -> RelayReport:
    """Deliver until nothing waits, or `should_stop()`.

    Raises:
        UnavailableError: the queue or the database is away; the order is kept, nothing is lost.
    """
    started_at = ports.clock.now()
    tally = Tally()
    while not should_stop():
        if not await may_send(ports, run_id):
            note("debug", "another relay is at work; standing by")
            await ports.clock.sleep(STANDBY_MS)
            if not await ports.store.waiting(limit=1):
                break
        elif not await deliver(ports, tally, run_id=run_id, batch=batch, note=note):
            break
    await give_way(ports, run_id)
    return RelayReport(
        run_id=run_id,
        delivered=tally.delivered,
        already_delivered=tally.already_delivered,
        pending=len(await ports.store.waiting(limit=PENDING_MAX)),
        duration_ms=max(ports.clock.now() - started_at, 0),
    )


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


async def deliver(ports: RelayPorts, tally: Tally, *, run_id: str, batch: int, note: Note) -> int:
    """Deliver one batch; return how many of its jobs do not wait any more."""
    waiting = await ports.store.waiting(limit=batch)
    done = 0
    for part in within(ports.queue.limits, waiting):
        receipts = await ports.queue.publish([each.message for each in part])
        at_ms = ports.clock.now()
        commits = [
            recorded(ports.queue, each, receipt, at_ms=at_ms, run_id=run_id)
            for each, receipt in zip(part, receipts, strict=True)
        ]
        appended = await ports.store.append(commits)
        for each, receipt in zip(part, receipts, strict=True):
            why = appended.refused.get(each.stream.connection_id)
            if why is not None:  # A damaged row, say: not to be published for ever.
                note("error", "a delivery cannot be recorded", why=why, job_id=each.message.job_id)
                continue
            done += 1
            count(tally, each, receipt, note, lost=each.stream.connection_id in appended.lost)
    return done


def within(limits: Limits, waiting: Sequence[Waiting]) -> Iterator[Sequence[Waiting]]:
    """Cut a batch into parts that one `publish` may carry, by count and by bytes."""
    part: list[Waiting] = []
    size = 0
    for each in waiting:
        length = len(each.message.body)
        if part and (len(part) == limits.messages or size + length > limits.batch_bytes):
            yield part
            part, size = [], 0
        part.append(each)
        size += length
    if part:
        yield part


def recorded(
    queue: Queue, waiting: Waiting, receipt: Receipt, *, at_ms: int, run_id: str
) -> Commit:
    """Return the commit that says what the queue made of a job."""
    stream = waiting.stream
    outgoing: Message | None = None
    error: str | None = None
    event: Event
    match receipt:
        case Rejected():
            retry_at = at_ms + backoff(stream.failures + 1, 0.5)
            event = SyncFailed(failure_class="invalid", message=receipt.reason, retry_at=retry_at)
            error = sync_error(event)
        case Accepted():
            event = JobEnqueued(
                queue=queue.name,
                level=queue.level,
                receipt=receipt.receipt,
                already_delivered=receipt.already_there,
            )
        case Staged():
            outgoing = receipt.message
            event = JobEnqueued(queue=queue.name, level=queue.level, receipt=outgoing.job_id)
    after, draft = record(stream, event, at_ms=at_ms, run_id=run_id)
    return Commit(stream, after, (draft,), sync_error=error, outgoing=outgoing)


def count(tally: Tally, waiting: Waiting, receipt: Receipt, note: Note, *, lost: bool) -> None:
    """Count what became of one job."""
    fields = {"connection_id": waiting.stream.connection_id, "job_id": waiting.message.job_id}
    match receipt:
        case _ if lost:
            tally.already_delivered += 1
            note("debug", "another relay delivered it", **fields)
        case Rejected(reason=reason):
            tally.rejected += 1
            note("warning", "the queue refuses a message", why=reason, **fields)
        case Accepted(already_there=True):
            tally.already_delivered += 1
        case _:
            tally.delivered += 1
