"""One connection's next step as a commit: what changes, and what the event says about it."""

from collections.abc import Sequence

import msgspec
import pytest

from clearlift_engine.decisions import (
    Step,
    cannot_be_served,
    claimed,
    deferred,
    job_created,
    needs_refresh,
    opened,
    refresh_failed,
    released,
    still_lives,
    too_large,
)
from clearlift_engine.events import Event, RefreshReleased, RefreshStarted, SyncFailed, decode
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS, MESSAGE_BYTES_MAX, MINUTE_MS, Candidate, Due
from clearlift_engine.ports import Provider, Refused
from clearlift_engine.stream import Draft, Stream
from tests.given import DUE, ENQUEUED, NOW_MS, SCHEDULE, commit, created, failed, started

STABLE = Provider("google", Rate(1, 100))
ASKING = Provider("acme", Rate(1, 100), without_expiry="refresh")
KEYS = Provider("stripe", None)
SILENT = Refused("transient", "no answer", ambiguous=True)
DOWN = Refused("transient", "HTTP 503", code="503", latency_ms=7, retry_after_ms=1_000)
DEAD = Refused("permanent", "invalid_grant", code="invalid_grant", latency_ms=7)
NOT_SENT = Refused("transient", "not sent", asked=False, latency_ms=0)


def conn(stream: Stream | None = None, /, **facts: object) -> Candidate:
    plain = Candidate(
        connection_id="c",
        organization_id="org",
        platform="google",
        account_id="1",
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
        stream=stream or Stream("c"),
    )
    return msgspec.structs.replace(plain, **facts)


def after(*events: Event) -> Step:
    """Return a step that begins after these events."""
    stream = commit("c", *events).after
    return Step(conn(stream), stream)


def claim(step: Step, credentials: str = "fingerprint") -> Step:
    """Return the step that begins after a claim is durable."""
    decision = claimed(
        step,
        "google",
        send_at=NOW_MS,
        lease_until=NOW_MS + 1,
        credentials=credentials,
        at_ms=NOW_MS,
        run_id="run",
    )
    stream = decision.commit.after
    return Step(conn(stream), stream)


def release(step: Step, refused: Refused) -> Step:
    return released(step, "interrupted", refused, at_ms=NOW_MS, run_id="run")


def last(drafts: Sequence[Draft]) -> Event:
    return decode(drafts[-1].transition, drafts[-1].data)


CLAIMED = claim(after(DUE))
DOUBTED = claim(release(CLAIMED, SILENT))  # Sent before, and nobody saw the answer.


@pytest.mark.parametrize(
    ("events", "transitions"),
    [
        ([], ["fell_due"]),
        ([DUE], []),
        ([DUE, started()], ["refresh_released"]),
        ([DUE, created("c"), ENQUEUED], ["fell_due"]),
        ([DUE, failed(retry_at=NOW_MS)], ["fell_due"]),
    ],
)
def test_connection_is_brought_to_due_from_wherever_it_is(
    events: Sequence[Event], transitions: Sequence[str]
) -> None:
    before = after(*events).conn if events else conn()

    step = opened(before, Due("retry"), at_ms=NOW_MS, run_id="run")

    assert step.stream.state == "due"
    assert [draft.transition for draft in step.drafts] == transitions


def test_lease_that_ran_out_leaves_its_request_in_doubt() -> None:
    step = opened(CLAIMED.conn, Due("retry"), at_ms=NOW_MS, run_id="run")

    event = last(step.drafts)
    assert isinstance(event, RefreshReleased)
    assert (event.reason, event.ambiguous, step.stream.in_doubt) == ("lease_expired", True, 1)


@pytest.mark.parametrize(
    ("provider", "facts", "expected"),
    [
        (STABLE, {"expires_at": NOW_MS + 5 * MINUTE_MS - 1}, True),
        (STABLE, {"expires_at": NOW_MS + 5 * MINUTE_MS}, False),
        (STABLE, {"expires_odd": True}, True),
        (STABLE, {}, False),
        (ASKING, {}, True),
        (ASKING, {"expires_at": NOW_MS + 5 * MINUTE_MS}, False),
        (KEYS, {"expires_at": 0}, False),
        (KEYS, {"expires_odd": True}, False),
        (None, {"expires_at": 0}, True),
        (None, {}, False),
    ],
)
def test_refresh_is_needed_by_the_expiry_and_by_what_the_provider_is(
    provider: Provider | None, facts: dict[str, object], *, expected: bool
) -> None:
    assert needs_refresh(conn(**facts), provider, NOW_MS, SCHEDULE) is expected


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [(NOW_MS + 5 * MINUTE_MS, True), (NOW_MS + 5 * MINUTE_MS - 1, False), (None, True)],
)
def test_token_carries_one_more_job_for_its_last_five_minutes_and_no_longer(
    expires_at: int | None, *, expected: bool
) -> None:
    assert still_lives(conn(expires_at=expires_at), NOW_MS) is expected


@pytest.mark.parametrize(
    ("account_id", "expected"),
    [
        ("a" * (MESSAGE_BYTES_MAX - 2_000), False),
        ("a" * MESSAGE_BYTES_MAX, True),
        ("\0" * (MESSAGE_BYTES_MAX // 6), True),
        ("\N{GRINNING FACE}" * (MESSAGE_BYTES_MAX // 4), True),
        ("\N{GRINNING FACE}" * (MESSAGE_BYTES_MAX // 5), False),
    ],
)
def test_too_large_counts_the_bytes_of_the_json(account_id: str, *, expected: bool) -> None:
    assert too_large(conn(account_id=account_id)) is expected


def test_job_that_follows_a_failure_clears_what_the_failure_wrote() -> None:
    fresh, again = after(DUE), after(DUE, failed(retry_at=NOW_MS), DUE)

    decisions = [
        job_created(
            step, now_ms=NOW_MS, at_ms=NOW_MS + 5, run_id="run", job_id="job", schedule=SCHEDULE
        )
        for step in (fresh, again)
    ]

    assert [decision.commit.clears_error for decision in decisions] == [False, True]
    assert decisions[0].commit.open_since == NOW_MS - SCHEDULE.job_limit_ms
    assert decisions[0].commit.after.job_id == "job"


@pytest.mark.parametrize(
    ("step", "credentials", "in_doubt"),
    [
        (after(DUE), "fingerprint", 1),
        (release(CLAIMED, SILENT), "fingerprint", 2),
        (release(CLAIMED, SILENT), "others", 1),
        (release(CLAIMED, DOWN), "fingerprint", 1),
        (release(CLAIMED, NOT_SENT), "fingerprint", 1),
        (release(DOUBTED, DOWN), "fingerprint", 3),
        (release(DOUBTED, NOT_SENT), "fingerprint", 3),
    ],
)
def test_claim_knows_whether_its_credentials_were_sent_before_without_an_answer(
    step: Step, credentials: str, in_doubt: int
) -> None:
    assert claim(step, credentials).stream.in_doubt == in_doubt


def test_claim_says_what_is_sent_by_its_fingerprint_alone() -> None:
    decision = claimed(
        after(DUE),
        "google",
        send_at=NOW_MS + 1,
        lease_until=NOW_MS + 2,
        credentials="fingerprint",
        at_ms=NOW_MS,
        run_id="run",
    )

    event = last(decision.commit.drafts)
    assert isinstance(event, RefreshStarted)
    assert (event.send_at, event.lease_until) == (NOW_MS + 1, NOW_MS + 2)
    assert event.credentials == "fingerprint"
    assert decision.outcome == "claimed"


@pytest.mark.parametrize(("refused", "latency_ms"), [(DOWN, 7), (NOT_SENT, None)])
def test_release_says_how_long_the_provider_took_if_it_was_asked(
    refused: Refused, latency_ms: int | None
) -> None:
    event = last(release(CLAIMED, refused).drafts)

    assert isinstance(event, RefreshReleased)
    assert event.latency_ms == latency_ms
    assert event.until == (NOW_MS + 1_000 if refused is DOWN else None)


def test_transient_failure_waits_from_the_beginning_of_its_tick_and_a_dead_grant_for_its_user() -> (
    None
):
    late_ms = NOW_MS + 20 * MINUTE_MS

    decisions = [
        refresh_failed(CLAIMED, each, attempts=1, now_ms=NOW_MS, at_ms=late_ms, run_id="run")
        for each in (DOWN, DEAD)
    ]

    down, dead = (last(decision.commit.drafts) for decision in decisions)
    assert isinstance(down, SyncFailed)
    assert isinstance(dead, SyncFailed)
    assert (down.failure_class, dead.failure_class) == ("transient", "permanent")
    assert down.retry_at in range(NOW_MS + 7 * MINUTE_MS, NOW_MS + 15 * MINUTE_MS)
    assert (dead.retry_at, dead.credentials) == (None, "fingerprint")
    assert decisions[1].commit.sync_error == "Token refresh failed: invalid_grant"


def test_row_that_cannot_be_served_is_tried_again_after_a_backoff() -> None:
    decision = cannot_be_served(after(DUE), "a reason", at_ms=NOW_MS, run_id="run")

    event = last(decision.commit.drafts)
    assert isinstance(event, SyncFailed)
    assert (event.failure_class, event.message) == ("invalid", "a reason")
    assert event.retry_at in range(NOW_MS + 1, NOW_MS + 15 * MINUTE_MS)
    assert decision.commit.sync_error == "Job could not be queued: a reason"


def test_deferred_connection_stays_as_it_stands() -> None:
    decision = deferred(after(DUE), "over budget")

    assert decision.commit.after.state == "due"
    assert (decision.commit.drafts, decision.commit.sync_error) == ((), None)


def fail(step: Step, refused: Refused) -> SyncFailed:
    decision = refresh_failed(step, refused, attempts=1, now_ms=NOW_MS, at_ms=NOW_MS, run_id="run")
    event = last(decision.commit.drafts)
    assert isinstance(event, SyncFailed)
    return event


def claimed_with(**facts: object) -> Step:
    return msgspec.structs.replace(CLAIMED, stream=msgspec.structs.replace(CLAIMED.stream, **facts))


def test_every_failure_waits_as_long_as_what_has_failed_as_often() -> None:
    failing = claimed_with(failures=3)

    unserved = cannot_be_served(failing, "no such platform", at_ms=NOW_MS, run_id="run")

    for retry_at in (unserved.commit.after.retry_at, fail(failing, DOWN).retry_at):
        assert retry_at is not None
        assert HOUR_MS <= retry_at - NOW_MS <= 2 * HOUR_MS


@pytest.mark.parametrize(
    ("digest", "wait_ms"),
    [("0" * 64, 450_000), ("8" + "0" * 63, 675_000), ("f" * 64, 899_999)],
)
def test_those_that_failed_together_come_back_over_half_of_the_wait(
    digest: str, wait_ms: int
) -> None:
    assert fail(claimed_with(hash=digest), DOWN).retry_at == NOW_MS + wait_ms


@pytest.mark.parametrize(
    ("step", "refused", "ambiguous"),
    [
        (CLAIMED, DOWN, False),
        (CLAIMED, SILENT, True),
        (DOUBTED, DOWN, True),
        (DOUBTED, DEAD, False),  # It is dead, whatever became of the request before.
    ],
)
def test_failure_says_whether_the_provider_may_have_acted_on_a_request(
    step: Step, refused: Refused, *, ambiguous: bool
) -> None:
    assert fail(step, refused).ambiguous is ambiguous


@pytest.mark.parametrize(("refused", "latency_ms"), [(DOWN, 7), (NOT_SENT, None)])
def test_failure_says_how_long_the_provider_took_if_it_was_asked(
    refused: Refused, latency_ms: int | None
) -> None:
    assert fail(CLAIMED, refused).latency_ms == latency_ms
