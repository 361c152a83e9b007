"""What tests begin with: moments, events, commits, and the questions they ask of a store."""

from collections.abc import Sequence
from typing import Final, TypedDict, Unpack

import msgspec

from clearlift_engine.events import (
    Event,
    FellDue,
    JobCreated,
    JobEnqueued,
    RefreshStarted,
    SyncFailed,
    decode,
)
from clearlift_engine.jobs import job_row
from clearlift_engine.policy import (
    DAY_MS,
    HOUR_MS,
    Candidate,
    Due,
    Schedule,
    assess,
    iso,
    message_for,
)
from clearlift_engine.ports import Appended, Commit, JobRow, Message, SealedTokens, Store
from clearlift_engine.stream import Draft, Entry, Stream, evolve, record

NOW_MS: Final = 1_791_633_600_000  # 2026-10-10T12:00:00Z
SCHEDULE: Final = Schedule()
OPEN_SINCE: Final = NOW_MS - SCHEDULE.job_limit_ms
ODD_IDS: Final = (
    "o'hara-google-1",
    'say "hi"',
    "two\nlines\r\n",
    "100 % _ * ? [a-z]",
    "日本-tiktok-1",
    "e\u0301 is not \u00e9",
    "\u200f\U0001f680\U0010ffff",
    "\uffff sorts before the rocket in UTF-8",
    " ",
    "back\\slash; DROP TABLE outbox; --",
)

DUE: Final = FellDue(reason="never_synced", last_synced_at=None)
ENQUEUED: Final = JobEnqueued(queue="sync-jobs", level="windowless")


def plain(ms: int) -> str:
    """Return a time as SQLite writes it: `YYYY-MM-DD HH:MM:SS`."""
    return iso(ms)[:19].replace("T", " ")


def started(
    *, lease_until: int = NOW_MS + HOUR_MS, credentials: str = "fingerprint"
) -> RefreshStarted:
    return RefreshStarted(
        provider="google", send_at=NOW_MS, lease_until=lease_until, credentials=credentials
    )


def failed(*, retry_at: int | None, credentials: str | None = None) -> SyncFailed:
    return SyncFailed(
        failure_class="transient" if retry_at is not None else "permanent",
        message="Token refresh failed: a reason",
        retry_at=retry_at,
        credentials=credentials,
    )


def created(connection_id: str, job_id: str = "job", *, at_ms: int = NOW_MS) -> JobCreated:
    conn = Candidate(
        connection_id=connection_id,
        organization_id="org",
        platform="google",
        account_id=f"account of {connection_id}",
        is_active=True,
        sync_status=None,
        last_synced_at=None,
        last_synced_odd=False,
        expires_at=None,
        expires_odd=False,
        connected_at=None,
        interval_ms=None,
        job_id=None,
        job_since=None,
        reconnected=False,
        stream=Stream(connection_id),
    )
    return JobCreated(message=message_for(conn, at_ms, job_id))


class Also(TypedDict, total=False):
    """What a commit changes beside the log."""

    job: JobRow | None
    open_since: int
    sync_error: str | None
    clears_error: bool
    tokens: SealedTokens | None
    outgoing: Message | None


def commit(
    before: Stream | str,
    *events: Event,
    at_ms: int = NOW_MS,
    run_id: str = "run",
    **also: Unpack[Also],
) -> Commit:
    """Return the commit that moves a stream, or a new one of that id, by `events`."""
    seen = Stream(before) if isinstance(before, str) else before
    after, drafts = seen, list[Draft]()
    for event in events:
        after, draft = record(after, event, at_ms=at_ms, run_id=run_id)
        drafts.append(draft)
    return Commit(seen, after, tuple(drafts), **also)


def job_commit(
    before: Stream | str, job_id: str = "job", *, at_ms: int = NOW_MS, **also: Unpack[Also]
) -> Commit:
    """Return the commit of a whole cycle: it fell due, and its job was created."""
    connection_id = before if isinstance(before, str) else before.connection_id
    event = created(connection_id, job_id, at_ms=at_ms)
    with_job: Also = {
        "job": job_row(event.message, "run"),
        "open_since": at_ms - SCHEDULE.job_limit_ms,
    }
    with_job.update(also)
    return commit(before, DUE, event, at_ms=at_ms, **with_job)


def orphan_commit(connection_id: str) -> Commit:
    """Return a `job_commit` whose job belongs to an organisation that does not exist."""
    made = job_commit(connection_id, connection_id)
    assert made.job is not None
    job = msgspec.structs.replace(made.job, organization_id="no such organisation")
    return msgspec.structs.replace(made, job=job)


async def take(store: Store, *commits: Commit) -> Stream:
    """Append commits, all of which must be taken; return the last one's stream."""
    assert await store.append(commits) == Appended()
    return commits[-1].after


async def candidates(
    store: Store, *, now_ms: int = NOW_MS, schedule: Schedule = SCHEDULE
) -> Sequence[Candidate]:
    """Return those that the store plans and the rules find due, as the plan orders them."""
    plan = await store.due(now_ms=now_ms, schedule=schedule, limit=10_000)
    refs = [*plan.ready, *(ref for refs in plan.expiring.values() for ref in refs)]
    found = await store.candidates(refs)
    return [conn for conn in found if isinstance(assess(conn, now_ms, schedule), Due)]


async def due(store: Store, *, now_ms: int = NOW_MS, schedule: Schedule = SCHEDULE) -> list[str]:
    """Return the ids of `candidates`."""
    found = await candidates(store, now_ms=now_ms, schedule=schedule)
    return [conn.connection_id for conn in found]


async def ids(store: Store, refs: Sequence[int]) -> list[str]:
    """Return which connections these are."""
    return [conn.connection_id for conn in await store.candidates(refs)]


def fold(entries: Sequence[Entry]) -> Stream:
    """Return the stream that these rows of the log make."""
    stream = Stream(entries[0].connection_id)
    for entry in entries:
        event = decode(entry.transition, entry.data)
        stream = evolve(stream, event, occurred_at=entry.occurred_at, digest=entry.hash)
    return stream


def ago(**units: int) -> int:
    """Return the moment some days, hours, minutes or seconds before NOW_MS."""
    sizes = {"days": DAY_MS, "hours": HOUR_MS, "minutes": HOUR_MS // 60, "seconds": 1000}
    return NOW_MS - sum(sizes[unit] * number for unit, number in units.items())
