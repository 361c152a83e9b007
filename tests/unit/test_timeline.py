"""A connection's life as sentences."""

import msgspec
import pytest

from clearlift_engine.events import Event
from clearlift_engine.ports import History
from clearlift_engine.timeline import sentence, timeline
from tests.unit import lives
from tests.unit.lives import NOW_MS
from tests.unit.shelf import ACME, SUPERSEDING, Shelf

ALREADY = msgspec.structs.replace(lives.ENQUEUED, receipt=None, already_delivered=True)
DOUBTED = msgspec.structs.replace(lives.STARTED, in_doubt=2)
ENDLESS = msgspec.structs.replace(lives.RELEASED, reason="lease_expired", until=None)


def test_each_row_of_the_log_is_a_line_in_its_order() -> None:
    lines = timeline(Shelf().history(ACME))

    assert [(line.position, line.occurred_at, line.source, line.target) for line in lines] == [
        (1, NOW_MS + 1, None, "due"),
        (3, NOW_MS + 3, "due", "job_created"),
        (6, NOW_MS + 6, "job_created", "enqueued"),
        (8, NOW_MS + 8, "enqueued", "due"),
        (10, NOW_MS + 10, "due", "refreshing"),
        (12, NOW_MS + 12, "refreshing", "job_created"),
    ]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (lives.DUE, "never synced before"),
        (
            lives.DUE_AGAIN,
            "the wait after its failure is over; last synced 2026-10-10T10:00:00.000Z",
        ),
        (
            SUPERSEDING,
            (
                "its interval has passed; last synced 2026-10-10T12:00:00.000Z; "
                "gives up job job-1, open for too long"
            ),
        ),
        (
            lives.STARTED,
            (
                "token request to google, to be sent 2026-10-10T12:00:00.000Z, "
                "given up 2026-10-10T12:01:00.000Z"
            ),
        ),
        (
            DOUBTED,
            (
                "token request to google, to be sent 2026-10-10T12:00:00.000Z, "
                "given up 2026-10-10T12:01:00.000Z; 2 before it with the same token had no answer"
            ),
        ),
        (
            lives.RELEASED,
            "nothing decided, throttled: asked to slow down; not before 2026-10-10T12:02:00.000Z",
        ),
        (ENDLESS, "nothing decided, lease expired: asked to slow down"),
        (
            lives.CREATED,
            "job job-1, full, 2026-10-03T12:00:00.000Z → 2026-10-10T12:00:00.000Z, high",
        ),
        (
            lives.CREATED_AFTER_REFRESH,
            (
                "job job-1, full, 2026-10-03T12:00:00.000Z → 2026-10-10T12:00:00.000Z, high; "
                "new token from google, until 2026-10-10T13:00:00.000Z"
            ),
        ),
        (lives.ENQUEUED, "delivered to sync-jobs (receipt r-1)"),
        (ALREADY, "found in sync-jobs"),
        (
            lives.FAILED,
            (
                "failed, transient: Token refresh failed: timeout (timeout); "
                "retry at 2026-10-10T12:15:00.000Z"
            ),
        ),
        (
            lives.DEAD,
            "failed, permanent: Token refresh failed: invalid_grant; not before it is reconnected",
        ),
        (lives.PAUSED, "paused by ann@ops-1: the customer asked for it"),
        (lives.RESUMED, "resumed by ann@ops-1: the customer is back"),
        (
            lives.RETRIED,
            (
                "retry requested by ann@ops-1: the key was missing; "
                "due from 2026-10-10T12:00:00.000Z"
            ),
        ),
        (
            msgspec.structs.replace(lives.RETRIED, reason=None),
            "retry requested by ann@ops-1; due from 2026-10-10T12:00:00.000Z",
        ),
    ],
)
def test_each_event_says_in_one_sentence_why(event: Event, says: str) -> None:
    assert sentence(event) == says


def test_a_row_that_cannot_be_read_is_a_line_that_says_so() -> None:
    shelf = Shelf()
    shelf.edit_entry(3, data="{")

    line = timeline(shelf.history(ACME))[1]

    assert line.position == 3
    assert line.sentence.startswith("data of a 'job_created' event cannot be read: ")


def test_a_connection_to_which_nothing_has_happened_has_no_lines() -> None:
    assert timeline(History("nobody", [], None, None, [])) == []
