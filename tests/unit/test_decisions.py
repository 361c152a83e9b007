"""One connection's next step as a commit: what changes, and what the event says about it."""

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
from clearlift_engine.events import RefreshReleased, RefreshStarted, SyncFailed, decode
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import MESSAGE_BYTES_MAX, MINUTE_MS, Candidate, Due
from clearlift_engine.ports import Provider, Refused
from clearlift_engine.stream import Stream
from tests.given import DUE, NOW_MS, SCHEDULE, commit, failed, started

GOOGLE = Provider("google", Rate(1, 100))
RETRY = Due("retry")
DOWN = Refused("transient", "HTTP 503", code="503", latency_ms=7)
NOT_SENT = Refused("transient", "not sent", asked=False)


def conn(stream: Stream | None = None, **facts: object) -> Candidate:
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


def claim(stream: Stream | None = None) -> Step:
    """Return the step after the claim of a refresh."""
    moved = commit(stream or Stream("c"), DUE, started()).after
    return Step(conn(moved), moved)


def doubted() -> Step:
    """Return the step after a claim whose credentials were sent before, without an answer."""
    first = claim()
    lost = Refused("transient", "no answer", ambiguous=True)
    due = released(first, "lease_expired", lost, at_ms=NOW_MS, run_id="run").stream
    again = claimed(
        Step(conn(due), due),
        "google",
        send_at=NOW_MS,
        lease_until=NOW_MS + 1,
        credentials="fingerprint",
        at_ms=NOW_MS,
        run_id="run",
    )
    return Step(conn(again.commit.after), again.commit.after)


def event_of(step_drafts: tuple[object, ...]) -> object:
    draft = step_drafts[-1]
    return decode(draft.transition, draft.data)
