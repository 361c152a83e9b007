"""The due rule clause by clause, each on both sides of its boundary; windows, backoff, dates."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_engine.events import FellDue
from clearlift_engine.machine import State
from clearlift_engine.policy import (
    DAY_MS,
    FIRST_BACKOFF_MS,
    HOUR_MS,
    LONGEST_BACKOFF_MS,
    MINUTE_MS,
    Blocked,
    Candidate,
    Due,
    Schedule,
    assess,
    backoff,
    due_at,
    expires_within,
    fell_due,
    iso,
    message_for,
    verdicts,
)
from clearlift_engine.stream import Stream
from tests.unit.lives import CONNECTION, NOW_MS

SCHEDULE = Schedule()
LIMIT_MS = SCHEDULE.job_limit_ms
FIRST_YEAR_MS, LAST_YEAR_MS = -62_135_596_800_000, 253_402_300_799_999


def candidate(**facts: object) -> Candidate:
    """Return a connection that is due because it was never synced, but for `facts`."""
    fresh = Candidate(
        connection_id=CONNECTION,
        organization_id="acme",
        platform="google",
        account_id="1",
        is_active=True,
        sync_status="pending",
        last_synced_at=None,
        last_synced_odd=False,
        expires_at=None,
        expires_odd=False,
        connected_at=NOW_MS - DAY_MS,
        interval_ms=None,
        job_id=None,
        job_since=None,
        reconnected=False,
        stream=Stream(CONNECTION),
    )
    return msgspec.structs.replace(fresh, **facts)


def stream(state: State, **columns: object) -> Stream:
    return msgspec.structs.replace(Stream(CONNECTION, state, version=1, hash="h"), **columns)


def judge(**facts: object) -> Due | Blocked:
    return assess(candidate(**facts), NOW_MS, SCHEDULE)


def test_a_connection_that_was_never_synced_is_due() -> None:
    assert judge() == Due("never_synced")


def test_an_inactive_connection_is_not_due() -> None:
    assert judge(is_active=False) == Blocked("inactive")


@pytest.mark.parametrize("sync_status", [None, "", "pending", "completed", "failed", "wörd"])
def test_no_sync_status_but_syncing_holds_a_connection_back(sync_status: str | None) -> None:
    assert judge(sync_status=sync_status) == Due("never_synced")


def test_a_connection_is_due_once_it_is_older_than_its_interval_and_not_before() -> None:
    at_the_hour = judge(last_synced_at=NOW_MS - HOUR_MS)
    past_the_hour = judge(last_synced_at=NOW_MS - HOUR_MS - 1)

    assert at_the_hour == Blocked("fresh", NOW_MS)
    assert past_the_hour == Due("interval_elapsed")


def test_a_connection_goes_by_its_own_interval_if_it_has_one() -> None:
    at_its_minute = judge(last_synced_at=NOW_MS - MINUTE_MS, interval_ms=MINUTE_MS)
    past_its_minute = judge(last_synced_at=NOW_MS - MINUTE_MS - 1, interval_ms=MINUTE_MS)
    past_the_hour = judge(last_synced_at=NOW_MS - HOUR_MS - 1, interval_ms=DAY_MS)

    assert at_its_minute == Blocked("fresh", NOW_MS)
    assert past_its_minute == Due("interval_elapsed")
    assert past_the_hour == Blocked("fresh", NOW_MS - HOUR_MS - 1 + DAY_MS)


def test_a_sync_in_the_future_is_not_due_and_one_just_now_is_merely_fresh() -> None:
    assert judge(last_synced_at=NOW_MS + 1) == Blocked("future", NOW_MS + 1 + HOUR_MS)
    assert judge(last_synced_at=NOW_MS) == Blocked("fresh", NOW_MS + HOUR_MS)


def test_an_unparsable_last_sync_counts_as_never() -> None:
    assert judge(last_synced_at=None, last_synced_odd=True) == Due("never_synced")


def test_an_open_job_holds_until_the_job_limit_and_is_then_superseded() -> None:
    young = judge(job_id="j", job_since=NOW_MS - LIMIT_MS + 1)
    old = judge(job_id="j", job_since=NOW_MS - LIMIT_MS)

    assert young == Blocked("open_job", NOW_MS + 1)
    assert old == Due("never_synced", superseded_job_id="j")


def test_a_job_that_nobody_ever_closes_is_superseded_once() -> None:
    since = NOW_MS - LIMIT_MS
    ours = stream("enqueued", job_id="ours", changed_at=since + 1)
    older = stream("enqueued", job_id="ours", changed_at=since)

    after_a_later_one = judge(job_id="j", job_since=since, stream=ours)
    after_an_older_one = judge(job_id="j", job_since=since, stream=older)
    itself = judge(job_id="ours", job_since=since, stream=ours)

    assert after_a_later_one == Due("never_synced")
    assert after_an_older_one == Due("never_synced", superseded_job_id="j")
    assert itself == Due("never_synced", superseded_job_id="ours")


def test_an_open_job_of_unknown_age_is_superseded() -> None:
    assert judge(job_id="j", job_since=None) == Due("never_synced", superseded_job_id="j")


def test_a_syncing_connection_holds_as_long_as_its_job_and_is_then_stuck() -> None:
    running = judge(sync_status="syncing", job_id="j", job_since=NOW_MS - LIMIT_MS + 1)
    stuck = judge(sync_status="syncing", job_id="j", job_since=NOW_MS - LIMIT_MS)

    assert running == Blocked("open_job", NOW_MS + 1)
    assert stuck == Due("never_synced", superseded_job_id="j")


def signs_of_life(since: int) -> dict[str, dict[str, object]]:
    return {
        "stream": {"stream": stream("enqueued", changed_at=since)},
        "last sync": {"last_synced_at": since, "connected_at": 0},
        "connected": {"connected_at": since},
    }


@pytest.mark.parametrize("sign", ["stream", "last sync", "connected"])
def test_syncing_without_a_job_is_stuck_one_limit_after_the_last_sign_of_life(sign: str) -> None:
    held = judge(sync_status="syncing", **signs_of_life(NOW_MS - LIMIT_MS + 1)[sign])
    stuck = judge(sync_status="syncing", **signs_of_life(NOW_MS - LIMIT_MS)[sign])

    assert held == Blocked("syncing", NOW_MS + 1)
    assert isinstance(stuck, Due)
    assert stuck.superseded_job_id is None


def test_syncing_of_which_nothing_else_is_known_is_stuck() -> None:
    assert judge(sync_status="syncing", connected_at=None) == Due("never_synced")


def test_a_job_that_waits_for_the_relay_holds_its_connection() -> None:
    assert judge(stream=stream("job_created")) == Blocked("in_outbox")


def test_a_delivered_job_does_not_hold_its_connection_by_itself() -> None:
    assert judge(stream=stream("enqueued")) == Due("never_synced")


def test_a_refresh_holds_its_connection_until_its_lease_runs_out() -> None:
    live = judge(stream=stream("refreshing", lease_until=NOW_MS + 1))
    expired = judge(stream=stream("refreshing", lease_until=NOW_MS))

    assert live == Blocked("refreshing", NOW_MS + 1)
    assert expired == Due("never_synced")


def test_a_failed_connection_waits_until_its_time_to_retry() -> None:
    waiting = judge(stream=stream("failed", retry_at=NOW_MS + 1))
    ready = judge(stream=stream("failed", retry_at=NOW_MS))

    assert waiting == Blocked("backoff", NOW_MS + 1)
    assert ready == Due("retry")


def test_a_dead_grant_waits_for_new_credentials_however_long_it_takes() -> None:
    dead = stream("failed", retry_at=None, changed_at=NOW_MS - 365 * DAY_MS)

    assert judge(stream=dead) == Blocked("needs_reconnect")
    assert judge(stream=dead, reconnected=True) == Due("reconnected")


def test_new_credentials_end_a_backoff_too() -> None:
    waiting = stream("failed", retry_at=NOW_MS + HOUR_MS)

    assert judge(stream=waiting, reconnected=True) == Due("reconnected")


@pytest.mark.parametrize("reconnected", [True, False])
def test_neither_retry_nor_reconnection_goes_before_the_interval_or_an_open_job(
    *,
    reconnected: bool,
) -> None:
    facts = {"stream": stream("failed", retry_at=NOW_MS), "reconnected": reconnected}

    fresh = judge(last_synced_at=NOW_MS, **facts)
    busy = judge(job_id="j", job_since=NOW_MS, **facts)

    assert fresh == Blocked("fresh", NOW_MS + HOUR_MS)
    assert busy == Blocked("open_job", NOW_MS + LIMIT_MS)


def test_the_first_clause_that_says_no_is_the_one_that_is_named() -> None:
    facts = {"stream": stream("job_created"), "job_id": "j", "job_since": NOW_MS}

    assert judge(is_active=False, **facts) == Blocked("inactive")
    assert judge(last_synced_at=NOW_MS, **facts) == Blocked("in_outbox")


def test_the_event_of_a_due_connection_carries_the_decision() -> None:
    conn = candidate(last_synced_at=NOW_MS - DAY_MS)

    event = fell_due(conn, Due("interval_elapsed", "j"))

    assert event == FellDue(
        reason="interval_elapsed", last_synced_at=NOW_MS - DAY_MS, superseded_job_id="j"
    )


def test_a_token_at_the_margin_lasts_and_one_millisecond_less_does_not() -> None:
    at_margin = candidate(expires_at=NOW_MS + 5 * MINUTE_MS)
    inside = candidate(expires_at=NOW_MS + 5 * MINUTE_MS - 1)

    assert not expires_within(at_margin, NOW_MS, SCHEDULE.refresh_margin_ms)
    assert expires_within(inside, NOW_MS, SCHEDULE.refresh_margin_ms)


def test_no_expiry_lasts_for_ever_and_an_unparsable_one_is_over() -> None:
    assert not expires_within(candidate(), NOW_MS, DAY_MS)
    assert expires_within(candidate(expires_odd=True), NOW_MS, 0)


def test_a_first_job_reaches_back_seven_days_with_high_priority() -> None:
    message = message_for(candidate(), NOW_MS, "job-9")

    assert msgspec.to_builtins(message) == {
        "job_id": "job-9",
        "connection_id": CONNECTION,
        "organization_id": "acme",
        "platform": "google",
        "account_id": "1",
        "job_type": "full",
        "sync_window": {"start": "2026-10-03T12:00:00.000Z", "end": "2026-10-10T12:00:00.000Z"},
        "metadata": {
            "retry_count": 0,
            "created_at": "2026-10-10T12:00:00.000Z",
            "priority": "high",
        },
    }


def test_a_later_job_begins_at_the_last_sync_with_normal_priority() -> None:
    message = message_for(candidate(last_synced_at=NOW_MS - 90 * MINUTE_MS), NOW_MS, "job-9")

    assert (message.job_type, message.metadata.priority) == ("incremental", "normal")
    assert message.sync_window.start == "2026-10-10T10:30:00.000Z"
    assert message.sync_window.end == message.metadata.created_at == "2026-10-10T12:00:00.000Z"


def test_a_last_sync_at_the_epoch_is_a_sync_all_the_same() -> None:
    message = message_for(candidate(last_synced_at=0), NOW_MS, "job-9")

    assert message.job_type == "incremental"
    assert message.sync_window.start == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("failures", "longest"),
    [
        (1, 15 * MINUTE_MS),
        (2, 30 * MINUTE_MS),
        (3, HOUR_MS),
        (4, 2 * HOUR_MS),
        (5, 4 * HOUR_MS),
        (6, 6 * HOUR_MS),
        (7, 6 * HOUR_MS),
        (10**6, 6 * HOUR_MS),
    ],
)
def test_backoff_doubles_up_to_six_hours_and_jitter_draws_from_its_upper_half(
    failures: int, longest: int
) -> None:
    assert backoff(failures, 0.0) == longest // 2
    assert longest - 1 <= backoff(failures, 0.999_999_999) < longest


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_backoff_is_never_longer_than_its_bounds_and_never_nothing(
    failures: int, jitter: float
) -> None:
    wait = backoff(failures, jitter)

    assert FIRST_BACKOFF_MS // 2 <= wait <= LONGEST_BACKOFF_MS
    assert failures > 1 or wait <= FIRST_BACKOFF_MS


@given(st.integers(FIRST_YEAR_MS, LAST_YEAR_MS))
def test_iso_is_what_datetime_reads_back_in_every_year_of_four_digits(ms: int) -> None:
    text = iso(ms)

    read = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    delta = read - datetime(1970, 1, 1, tzinfo=UTC)
    assert (delta.days * DAY_MS + delta.seconds * 1000 + delta.microseconds // 1000) == ms
    assert len(text) == len("YYYY-MM-DDTHH:MM:SS.sssZ")


def test_iso_stays_within_four_digits() -> None:
    assert iso(FIRST_YEAR_MS) == iso(FIRST_YEAR_MS - 1) == "0001-01-01T00:00:00.000Z"
    assert iso(LAST_YEAR_MS) == iso(LAST_YEAR_MS + 1) == "9999-12-31T23:59:59.999Z"
    assert iso(10**30) == "9999-12-31T23:59:59.999Z"


@given(
    state=st.sampled_from((None, "due", "refreshing", "job_created", "enqueued", "failed")),
    times=st.tuples(*[st.none() | st.integers(-HOUR_MS, HOUR_MS)] * 4),
    said=st.tuples(st.booleans(), st.booleans(), st.sampled_from((None, "syncing", "failed"))),
)
def test_due_rule_goes_by_the_first_clause_that_says_no_and_waits_for_the_last(
    state: State | None, times: tuple[int | None, ...], said: tuple[bool, bool, str | None]
) -> None:
    lease, retry, synced, since = (None if ms is None else NOW_MS + ms for ms in times)
    held = Stream(CONNECTION, state, lease_until=lease, retry_at=retry)
    conn = candidate(
        stream=held,
        last_synced_at=synced,
        job_id=None if since is None else "j",
        job_since=since,
        is_active=said[0],
        reconnected=said[1],
        sync_status=said[2],
    )

    found, told = assess(conn, NOW_MS, SCHEDULE), verdicts(conn, NOW_MS, SCHEDULE)

    first = next((each for each in told.values() if each is not None), None)
    assert first == (found if isinstance(found, Blocked) else None)
    at_ms = due_at(conn, NOW_MS, SCHEDULE)
    if at_ms is not None:
        assert isinstance(assess(conn, at_ms + 1, SCHEDULE), Due)
