"""Streams to test with: a message, one event of each kind, and lives made of them by `record`."""

from collections.abc import Sequence
from typing import Final

from clearlift_engine.events import (
    Event,
    FellDue,
    JobCreated,
    JobEnqueued,
    MessageMetadata,
    Paused,
    Refresh,
    RefreshReleased,
    RefreshStarted,
    Resumed,
    RetryRequested,
    SyncFailed,
    SyncJobMessage,
    SyncWindow,
)
from clearlift_engine.stream import Draft, Stream, record

NOW_MS: Final = 1_791_633_600_000  # 2026-10-10T12:00:00Z
HOUR_MS: Final = 3_600_000
CONNECTION: Final = "acme-google-1"
RUN: Final = "run-1"


def message(job_id: str = "job-1", connection_id: str = CONNECTION) -> SyncJobMessage:
    return SyncJobMessage(
        job_id=job_id,
        connection_id=connection_id,
        organization_id="acme",
        platform="google",
        account_id="1",
        job_type="full",
        sync_window=SyncWindow("2026-10-03T12:00:00.000Z", "2026-10-10T12:00:00.000Z"),
        metadata=MessageMetadata(0, "2026-10-10T12:00:00.000Z", "high"),
    )


DUE: Final = FellDue(reason="never_synced", last_synced_at=None)
DUE_AGAIN: Final = FellDue(reason="retry", last_synced_at=NOW_MS - 2 * HOUR_MS)
STARTED: Final = RefreshStarted(
    provider="google", send_at=NOW_MS, lease_until=NOW_MS + 60_000, credentials="fp-1"
)
RELEASED: Final = RefreshReleased(
    reason="throttled",
    detail="asked to slow down",
    provider="google",
    code="429",
    latency_ms=80,
    until=NOW_MS + 120_000,
)
CREATED: Final = JobCreated(message=message())
CREATED_AFTER_REFRESH: Final = JobCreated(
    message=message(),
    refresh=Refresh(
        provider="google", expires_at=NOW_MS + HOUR_MS, rotated=True, attempts=1, latency_ms=120
    ),
)
ENQUEUED: Final = JobEnqueued(queue="sync-jobs", level="same_transaction", receipt="r-1")
FAILED: Final = SyncFailed(
    failure_class="transient",
    message="Token refresh failed: timeout",
    retry_at=NOW_MS + 900_000,
    credentials="fp-1",
    ambiguous=True,
    provider="google",
    code="timeout",
    attempts=2,
    latency_ms=10_000,
)
DEAD: Final = SyncFailed(
    failure_class="permanent",
    message="Token refresh failed: invalid_grant",
    retry_at=None,
    credentials="fp-1",
)
PAUSED: Final = Paused(reason="the customer asked for it", by="ann@ops-1")
RESUMED: Final = Resumed(reason="the customer is back", by="ann@ops-1")
RETRIED: Final = RetryRequested(retry_at=NOW_MS, by="ann@ops-1", reason="the key was missing")


def live(
    *events: Event, connection_id: str = CONNECTION, step_ms: int = 1000
) -> tuple[Stream, Sequence[Draft]]:
    """Return a stream after `events`, one every `step_ms`, and its rows."""
    stream, drafts = Stream(connection_id), list[Draft]()
    for number, event in enumerate(events):
        stream, draft = record(stream, event, at_ms=NOW_MS + number * step_ms, run_id=RUN)
        drafts.append(draft)
    return stream, drafts
