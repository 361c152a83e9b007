"""What `explain` says of each clause of the due rule: the values that it looked at, in words."""

from collections.abc import Sequence

import msgspec
import pytest

from clearlift_engine.events import Event
from clearlift_engine.explain import Explanation, because, explain, token_of, why
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import MINUTE_MS, Blocked, Clause, Schedule, iso
from clearlift_engine.ports import Provider
from clearlift_engine.preview import PlannedRefresh, TickPlan
from clearlift_engine.stream import Entry
from tests.unit import lives
from tests.unit.lives import NOW_MS
from tests.unit.test_policy import candidate

SECOND = "2026-10-10T12:00:01.000Z"
FAILED = f"its state is failed since {SECOND}"
GOOGLE = Provider("google", Rate(10, 1000))
READY = TickPlan("now", [], [], [], 0)


@pytest.mark.parametrize(
    ("clause", "events", "facts", "says"),
    [
        ("inactive", (), {}, "is_active is true"),
        ("inactive", (), {"is_active": False}, "is_active is false"),
        ("paused", (), {}, "no operator has paused it"),
        ("paused", (lives.PAUSED,), {}, "paused at 2026-10-10T12:00:00.000Z"),
        ("in_outbox", (), {}, "no tick has seen it yet"),
        ("in_outbox", (lives.DUE, lives.CREATED), {}, f"its state is job_created since {SECOND}"),
        ("in_outbox", (lives.DUE, lives.STARTED), {}, f"its state is refreshing since {SECOND}"),
        ("in_outbox", (lives.DUE, lives.DEAD), {}, FAILED),
        (
            "refreshing",
            (lives.DUE, lives.STARTED),
            {},
            f"its state is refreshing since {SECOND}, leased until 2026-10-10T12:01:00.000Z",
        ),
        ("refreshing", (lives.DUE,), {}, "its state is due since 2026-10-10T12:00:00.000Z"),
        ("refreshing", (lives.DUE, lives.DEAD), {}, FAILED),
        ("backoff", (lives.DUE,), {}, "its state is due since 2026-10-10T12:00:00.000Z"),
        (
            "backoff",
            (lives.DUE, lives.FAILED),
            {},
            f"{FAILED}, after one failure; retry_at is 2026-10-10T12:15:00.000Z",
        ),
        (
            "needs_reconnect",
            (lives.DUE, lives.DEAD),
            {},
            f"{FAILED}, after one failure; retry_at is NULL, its credentials are those that failed",
        ),
        (
            "needs_reconnect",
            (lives.DUE, lives.DEAD),
            {"reconnected": True},
            f"{FAILED}, after one failure; its credentials have changed since",
        ),
        ("open_job", (), {}, "none of its jobs is pending or running"),
        (
            "open_job",
            (),
            {"job_id": "j"},
            "job j is open since an unknown time; given up after 345600 s",
        ),
        ("syncing", (), {"sync_status": "syncing"}, "sync_status is 'syncing'"),
        ("fresh", (), {}, "last_synced_at is NULL: it was never synced"),
        (
            "future",
            (),
            {"last_synced_odd": True},
            "last_synced_at is no time: it counts as never synced",
        ),
        (
            "fresh",
            (),
            {"last_synced_at": NOW_MS},
            (
                "last_synced_at is 2026-10-10T12:00:00.000Z; with 3600 s (by default) that is "
                "2026-10-10T13:00:00.000Z"
            ),
        ),
    ],
)
def test_clause_says_the_values_that_it_looked_at(
    clause: Clause, events: Sequence[Event], facts: dict[str, object], says: str
) -> None:
    stream, _ = lives.live(*events)

    assert because(clause, candidate(stream=stream, **facts), Schedule(), None) == says


def explained(*events: Event, recorded: Sequence[Clause] = ()) -> Explanation:
    stream, drafts = lives.live(*events)
    rows = [Entry(n, *msgspec.structs.astuple(draft)) for n, draft in enumerate(drafts, start=1)]
    return explain(
        candidate(stream=stream),
        rows,
        [],
        now_ms=NOW_MS,
        schedule=Schedule(),
        provider=GOOGLE,
        plan=READY,
        recorded=recorded,
    )


def test_of_the_past_each_clause_says_whether_the_log_knows_or_todays_row() -> None:
    by_row = {"inactive", "syncing", "future", "fresh"}

    plain, of_log = explained(), explained(recorded=["future", "fresh"])

    for seen, rows in ((plain, by_row), (of_log, {"inactive", "syncing"})):
        assert {line.clause for line in seen.clauses if line.known_from == "today"} == rows
        assert {line.clause for line in seen.clauses if line.known_from == "jobs"} == {"open_job"}


def test_failure_is_as_old_as_it_is_whatever_operators_said_since() -> None:
    seen = explained(lives.DUE, lives.DEAD, lives.PAUSED, lives.RESUMED)

    assert (seen.failed_at, seen.failure) == (NOW_MS + 1000, lives.DEAD)
    assert explained(lives.DUE).failed_at is None


@pytest.mark.parametrize(
    ("refreshes", "after"),
    [([], ""), ([PlannedRefresh("c", "google", None)], " after refreshing its token")],
)
def test_what_is_due_says_whether_its_token_is_refreshed_first(
    refreshes: list[PlannedRefresh], after: str
) -> None:
    plan = msgspec.structs.replace(READY, refreshes=refreshes)
    conn, schedule = candidate(), Schedule()

    seen = explain(conn, [], [], now_ms=NOW_MS, schedule=schedule, provider=GOOGLE, plan=plan)

    assert seen.advice.sentence == f"nothing: the next tick makes its job{after}"
    assert seen.advice.command == "clearlift-cron tick"


def test_token_is_refreshed_by_the_margin_of_the_settings() -> None:
    schedule = Schedule(refresh_margin_ms=2 * MINUTE_MS)

    says = token_of(candidate(expires_at=NOW_MS), GOOGLE, NOW_MS, schedule)

    assert says == f"ends at {iso(NOW_MS)}; refreshed before a job when less than 120 s are left"


def test_verdict_is_said_in_a_few_words() -> None:
    assert why(Blocked("paused")) == "not due: an operator has paused it"
