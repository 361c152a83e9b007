"""What the log's rows tell of a connection: when, for which jobs, and how its row was then."""

from collections.abc import Sequence

import msgspec
import pytest

from clearlift_engine.cycles import as_of, happened_at, job_ids
from clearlift_engine.events import Event, FellDue, JobCreated, SyncFailed
from clearlift_engine.policy import HOUR_MS, Candidate
from clearlift_engine.questions import JobFact
from clearlift_engine.stream import Entry
from tests.unit import lives
from tests.unit.lives import CONNECTION, NOW_MS
from tests.unit.test_policy import candidate

THEN_MS = NOW_MS + HOUR_MS
OPEN = JobFact("job-1", CONNECTION, "google", None, "running", "full", NOW_MS, None, None, 0, None)


def rows(*events: Event) -> Sequence[Entry]:
    """Return the rows of a life, one a second."""
    _, drafts = lives.live(*events)
    return [Entry(n, *msgspec.structs.astuple(draft)) for n, draft in enumerate(drafts, start=1)]


def past(*events: Event, jobs: Sequence[JobFact] = (), **today: object) -> Candidate:
    """Return a connection as it was at THEN_MS."""
    stream, _ = lives.live(*events)
    return as_of(candidate(**today), stream, rows(*events), jobs, at_ms=THEN_MS).conn


def test_newest_event_of_a_kind_says_when_that_happened_last() -> None:
    entries = rows(lives.DUE, lives.FAILED, lives.DUE_AGAIN, lives.CREATED)

    assert happened_at(entries, FellDue) == NOW_MS + 2000
    assert happened_at(entries, SyncFailed) == NOW_MS + 1000
    assert happened_at(entries[:3], JobCreated) is None


def test_jobs_are_named_once_in_the_order_of_the_log() -> None:
    second = JobCreated(message=lives.message("job-0"))
    entries = rows(lives.DUE, lives.CREATED, lives.ENQUEUED, lives.DUE_AGAIN, second)

    assert job_ids(entries) == ["job-1", "job-0"]
    assert job_ids(entries[:1]) == []


@pytest.mark.parametrize(
    ("events", "moved_ms"),
    [
        ((), None),
        ((lives.PAUSED,), None),
        ((lives.DUE, lives.FAILED), NOW_MS + 1000),
        ((lives.DUE, lives.FAILED, lives.RETRIED, lives.PAUSED, lives.RESUMED), NOW_MS + 1000),
    ],
)
def test_no_operators_word_moves_a_connection(
    events: Sequence[Event], moved_ms: int | None
) -> None:
    assert past(*events).moved_at == moved_ms


def test_sync_of_that_very_moment_was_known_then() -> None:
    assert past(lives.DUE, last_synced_at=THEN_MS).last_synced_at == THEN_MS
    assert past(lives.DUE, last_synced_at=THEN_MS + 1).last_synced_at is None


def test_nobody_knew_then_of_credentials_that_are_new_today() -> None:
    assert not past(lives.DUE, lives.DEAD, reconnected=True).reconnected


def test_expiry_that_is_no_time_today_was_one_if_the_log_has_it() -> None:
    refreshed = (lives.DUE, lives.STARTED, lives.CREATED_AFTER_REFRESH)

    assert past(lives.DUE, expires_odd=True).expires_odd
    assert not past(*refreshed, expires_odd=True).expires_odd
    assert not past(lives.DUE).expires_odd


@pytest.mark.parametrize(
    ("facts", "since_ms"),
    [
        ({}, NOW_MS),
        ({"started_at": NOW_MS + 1}, NOW_MS + 1),
        ({"started_at": THEN_MS}, THEN_MS),
        ({"started_at": THEN_MS + 1}, NOW_MS),
        ({"created_at": THEN_MS}, THEN_MS),
    ],
)
def test_open_job_counts_from_its_last_sign_of_life_until_then(
    facts: dict[str, object], since_ms: int
) -> None:
    job = msgspec.structs.replace(OPEN, **facts)

    found = past(lives.DUE, lives.CREATED, jobs=[job])

    assert (found.job_id, found.job_since) == ("job-1", since_ms)


def test_newest_of_several_open_jobs_is_the_one_that_counts() -> None:
    newer = msgspec.structs.replace(OPEN, id="job-2", created_at=NOW_MS + 1)

    for jobs in ([OPEN, newer], [newer, OPEN]):
        assert past(lives.DUE, lives.CREATED, jobs=jobs).job_id == "job-2"
