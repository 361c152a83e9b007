"""What a queue makes of jobs, as commits; and delivery at once.

Where the queue is in the store's own database, and a tick delivers as well, the commit that creates
a job also stores its message and records that it is there. The log says the same as if a relay had
come by, and there is one transaction instead of two.
"""

from collections.abc import Iterator, Sequence

from clearlift_engine.decisions import Decision, sync_error
from clearlift_engine.events import Event, JobEnqueued, SyncFailed, SyncJobMessage, body_of
from clearlift_engine.policy import backoff
from clearlift_engine.ports import (
    Accepted,
    Commit,
    Limits,
    Message,
    Queue,
    Receipt,
    Rejected,
    Staged,
    Waiting,
)
from clearlift_engine.stream import record


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


async def with_delivery(
    queue: Queue, decisions: Sequence[Decision], *, at_ms: int, run_id: str
) -> list[Decision]:
    """Return the decisions, those that create a job with its delivery.

    What the queue does not stage is left for the relay, which says why.
    """
    waiting = [
        Waiting(each.commit.after, _message(each.job)) for each in decisions if each.job is not None
    ]
    receipts: list[Receipt] = []
    for part in within(queue.limits, waiting):
        receipts += await queue.publish([each.message for each in part])
    found = iter(zip(waiting, receipts, strict=True))
    done: list[Decision] = []
    for decision in decisions:
        if decision.job is not None:
            each, receipt = next(found)
            if isinstance(receipt, Staged):
                delivery = recorded(queue, each, receipt, at_ms=at_ms, run_id=run_id)
                commit = _joined(decision.commit, delivery)
                done.append(Decision(commit, decision.outcome, job=decision.job))
                continue
        done.append(decision)
    return done


def _message(job: SyncJobMessage) -> Message:
    return Message(job.job_id, body_of(job))


def _joined(first: Commit, then: Commit) -> Commit:
    """Return two commits, one after the other, as one."""
    return Commit(
        before=first.before,
        after=then.after,
        drafts=first.drafts + then.drafts,
        job=first.job,
        open_since=first.open_since,
        clears_error=first.clears_error,
        tokens=first.tokens,
        outgoing=then.outgoing,
    )
