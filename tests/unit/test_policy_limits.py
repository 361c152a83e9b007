"""What no test of the due rule minded when it was changed: see docs/mutation.md."""

import pytest

from clearlift_engine.policy import (
    DAY_MS,
    HOUR_MS,
    MESSAGE_BYTES_MAX,
    MINUTE_MS,
    Blocked,
    Due,
    assess,
    due_at,
)
from clearlift_engine.stream import Stream, record
from tests.unit import lives
from tests.unit.lives import NOW_MS
from tests.unit.test_policy import SCHEDULE, candidate, stream


def test_a_paused_connection_is_not_due_whatever_else_holds() -> None:
    paused = stream("enqueued", paused_at=NOW_MS - 365 * DAY_MS)

    assert assess(candidate(stream=paused), NOW_MS, SCHEDULE) == Blocked("paused")


def test_a_retry_that_lies_further_ahead_than_twice_the_longest_wait_is_a_wrong_clocks() -> None:
    last, beyond = (NOW_MS + 12 * HOUR_MS + ms for ms in (0, 1))

    waiting = assess(candidate(stream=stream("failed", retry_at=last)), NOW_MS, SCHEDULE)
    due = assess(candidate(stream=stream("failed", retry_at=beyond)), NOW_MS, SCHEDULE)

    assert (waiting, due) == (Blocked("backoff", last), Due("retry"))


def test_a_lease_that_lies_further_ahead_than_an_hour_is_a_wrong_clocks() -> None:
    last, beyond = (NOW_MS + HOUR_MS + ms for ms in (0, 1))

    live = assess(candidate(stream=stream("refreshing", lease_until=last)), NOW_MS, SCHEDULE)
    due = assess(candidate(stream=stream("refreshing", lease_until=beyond)), NOW_MS, SCHEDULE)

    assert (live, due) == (Blocked("refreshing", last), Due("never_synced"))


def test_a_sync_in_the_future_is_over_when_the_connections_own_interval_has_passed() -> None:
    ahead = candidate(last_synced_at=NOW_MS + 1, interval_ms=2 * HOUR_MS)

    assert assess(ahead, NOW_MS, SCHEDULE) == Blocked("future", NOW_MS + 1 + 2 * HOUR_MS)


def test_a_new_stream_has_never_changed() -> None:
    _, draft = record(Stream("a"), lives.DUE, at_ms=0, run_id="r")

    assert draft.occurred_at == 0


WAITING = {"stream": stream("failed", retry_at=NOW_MS + MINUTE_MS)}
FRESH = {"last_synced_at": NOW_MS - HOUR_MS + 2 * MINUTE_MS}


@pytest.mark.parametrize(
    ("facts", "at_ms"),
    [
        ({}, NOW_MS),
        (WAITING, NOW_MS + MINUTE_MS),
        (FRESH, NOW_MS + 2 * MINUTE_MS),
        ({**WAITING, **FRESH}, NOW_MS + 2 * MINUTE_MS),
        ({"is_active": False}, None),
        ({"is_active": False, **FRESH}, None),
    ],
)
def test_a_connection_is_due_when_the_last_of_its_waits_is_over_if_waiting_helps(
    facts: dict[str, object], at_ms: int | None
) -> None:
    assert due_at(candidate(**facts), NOW_MS, SCHEDULE) == at_ms


def test_the_longest_message_fits_into_what_cloudflare_takes_with_what_it_adds() -> None:
    assert MESSAGE_BYTES_MAX + 100 <= 128_000
