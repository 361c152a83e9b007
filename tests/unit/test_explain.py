"""Why a connection is served or not, in words; what is to be done; its cycles; the past."""

from collections.abc import Sequence

import msgspec
import pytest

from clearlift_engine.cycles import Past, as_of, cycles
from clearlift_engine.events import Event, SyncFailed
from clearlift_engine.explain import Explanation, explain, why
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS, Blocked, Candidate, Schedule
from clearlift_engine.ports import Provider
from clearlift_engine.preview import LeftAlone, TickPlan
from clearlift_engine.questions import JobFact
from clearlift_engine.stream import Entry, Stream
from tests.unit import lives
from tests.unit.lives import CONNECTION, NOW_MS
from tests.unit.test_policy import candidate

GOOGLE = Provider("google", Rate(10, 1000))
INVALID = msgspec.structs.replace(lives.FAILED, failure_class="invalid", message="its ids are long")
UNDECLARED = msgspec.structs.replace(INVALID, provider="acme", code=None, attempts=0)
READY = TickPlan("now", [], [], [], 0)


def life(*events: Event) -> tuple[Stream, Sequence[Entry]]:
    stream, drafts = lives.live(*events)
    return stream, [
        Entry(number, *msgspec.structs.astuple(draft))
        for number, draft in enumerate(drafts, start=1)
    ]


def explained(*events: Event, **facts: object) -> Explanation:
    stream, entries = life(*events)
    return explain(
        candidate(stream=stream, **facts),
        entries,
        [],
        now_ms=NOW_MS,
        schedule=Schedule(),
        provider=GOOGLE,
        plan=READY,
    )


def job(job_id: str, **facts: object) -> JobFact:
    of = (CONNECTION, "google", None)
    row = JobFact(job_id, *of, "pending", "full", NOW_MS, None, None, 0, None)
    return msgspec.structs.replace(row, **facts)


LATER = "wait until 2026-10-10T12:15:00.000Z, or let the next tick retry it"


@pytest.mark.parametrize(
    ("events", "facts", "clause", "who", "sentence", "command"),
    [
        ((), {"is_active": False}, "inactive", "user", "connect it again", "connections show"),
        ((lives.PAUSED,), {}, "paused", "operator", "resume it", "resume --reason TEXT"),
        ((lives.DUE, lives.CREATED), {}, "in_outbox", "operator", "a relay runs", "relay --drain"),
        ((lives.DUE, lives.STARTED), {}, "refreshing", "nobody", "wait until", "timeline"),
        ((lives.DUE, lives.DEAD), {}, "needs_reconnect", "user", "connect the account", "timeline"),
        ((lives.DUE, lives.FAILED), {}, "backoff", "nobody", LATER, "retry"),
        ((lives.DUE, INVALID), {}, "backoff", "operator", "put right what the message", "retry"),
        ((lives.DUE, UNDECLARED), {}, "backoff", "operator", "[providers.acme] table", "retry"),
        ((), {"job_id": "j", "job_since": NOW_MS}, "open_job", "nobody", "consumer", "queue depth"),
        ((), {"sync_status": "syncing"}, "syncing", "nobody", "wait until", "timeline"),
        ((), {"last_synced_at": NOW_MS + 1}, "future", "operator", "the clock", "connections show"),
    ],
)
def test_what_keeps_it_back_says_who_has_to_do_what(  # noqa: PLR0917  one table
    events: Sequence[Event],
    facts: dict[str, object],
    clause: str,
    who: str,
    sentence: str,
    command: str,
) -> None:
    seen = explained(*events, **facts)

    assert isinstance(seen.found, Blocked)
    assert next(line.clause for line in seen.clauses if line.blocks) == seen.found.clause == clause
    assert seen.advice.who == who
    assert sentence in seen.advice.sentence
    assert f"clearlift-cron {command}" in str(seen.advice.command)


def test_all_clauses_are_told_with_the_values_that_decided() -> None:
    seen = explained(
        lives.DUE,
        lives.FAILED,
        lives.PAUSED,
        last_synced_at=NOW_MS - HOUR_MS,
        interval_ms=7_200_000,
        job_id="j",
        job_since=NOW_MS,
        sync_status=None,
    )

    told = {line.clause: line.because for line in seen.clauses}
    assert [line.clause for line in seen.clauses if line.blocks] == [
        *("paused", "backoff", "open_job", "fresh"),
    ]
    assert told["paused"].endswith("by ann@ops-1: the customer asked for it")
    assert "after one failure; retry_at is 2026-10-10T12:15:00.000Z" in told["backoff"]
    assert told["open_job"] == (
        "job j is open since 2026-10-10T12:00:00.000Z; given up after 345600 s"
    )
    assert told["syncing"] == "sync_status is NULL"
    assert told["fresh"].endswith("with 7200 s (of its own) that is 2026-10-10T13:00:00.000Z")


def test_what_time_alone_will_not_mend_has_no_time_when_it_is_due() -> None:
    assert explained(lives.PAUSED, last_synced_at=NOW_MS).due_at is None
    assert explained(lives.DUE, lives.FAILED).due_at == lives.FAILED.retry_at
    assert explained().due_at == NOW_MS


@pytest.mark.parametrize(
    ("plan", "provider", "who", "sentence"),
    [
        (READY, GOOGLE, "nobody", "the next tick makes its job"),
        (None, GOOGLE, "nobody", "the next tick was to serve it"),
        ("no_token", GOOGLE, "user", "a tick would leave it: why"),
        ("provider", GOOGLE, "nobody", "a tick would leave it: why"),
        ("provider", None, "operator", "a tick would leave it: why"),
        ("provider", Provider("google", None, problem="no id"), "operator", "a tick would leave"),
    ],
)
def test_what_is_due_says_what_a_tick_would_do(
    plan: TickPlan | str | None, provider: Provider | None, who: str, sentence: str
) -> None:
    if isinstance(plan, str):
        left = LeftAlone(CONNECTION, "google", plan, None, "why")
        plan = msgspec.structs.replace(READY, blocked=[left])
    conn, schedule = candidate(), Schedule()

    seen = explain(conn, [], [], now_ms=NOW_MS, schedule=schedule, provider=provider, plan=plan)

    assert seen.advice.who == who
    assert sentence in seen.advice.sentence
    assert why(seen.found) == "due: never synced"


@pytest.mark.parametrize(
    ("facts", "provider", "says"),
    [
        ({"expires_at": NOW_MS}, GOOGLE, "ends at 2026-10-10T12:00:00.000Z; refreshed before a"),
        ({"expires_at": NOW_MS - 1}, GOOGLE, "ended at 2026-10-10T11:59:59.999Z; refreshed"),
        ({"expires_odd": True}, GOOGLE, "expires_at is no time: it counts as ended; refreshed"),
        ({}, Provider("stripe", None), "it lasts; a token of stripe is never refreshed"),
        ({"platform": "x"}, None, "it lasts; no provider is declared for 'x', so nobody can"),
        ({}, Provider("x", Rate(1, 1), without_expiry="refresh"), "it is refreshed for every job"),
    ],
)
def test_token_says_until_when_and_who_refreshes_it(
    facts: dict[str, object], provider: Provider | None, says: str
) -> None:
    conn, schedule = candidate(**facts), Schedule()

    seen = explain(conn, [], [], now_ms=NOW_MS, schedule=schedule, provider=provider, plan=READY)

    assert says in seen.token


def test_cycles_are_told_newest_first_with_what_became_of_their_jobs() -> None:
    _, entries = life(
        *(lives.DUE, lives.STARTED, lives.RELEASED, lives.CREATED, lives.PAUSED, lives.ENQUEUED),
        *(lives.RESUMED, lives.DUE_AGAIN, lives.FAILED, lives.RETRIED),
    )

    newest, oldest = cycles(entries, [job("job-1", status="completed")])

    assert (oldest.job_id, oldest.state, oldest.began_at) == ("job-1", "enqueued", NOW_MS)
    assert oldest.sentence == "delivered to sync-jobs (receipt r-1)"
    assert oldest.job == job("job-1", status="completed")
    assert (newest.job_id, newest.state, newest.job) == (None, "failed", None)
    assert newest.because.startswith("the wait after its failure is over")
    assert cycles(entries[1:7], []) == []


def test_failure_that_cannot_be_read_still_says_what_to_do() -> None:
    stream, [due, failed] = life(lives.DUE, lives.DEAD)
    entries = [due, msgspec.structs.replace(failed, data="{")]

    seen = explain(
        candidate(stream=stream),
        entries,
        [],
        now_ms=NOW_MS,
        schedule=Schedule(),
        provider=GOOGLE,
        plan=READY,
    )

    assert (seen.failure, seen.advice.who) == (None, "user")
    assert isinstance(explained(lives.DUE, lives.DEAD).failure, SyncFailed)


def past_of(conn: Candidate, *events: Event, jobs: Sequence[JobFact] = ()) -> Past:
    stream, entries = life(*events)
    return as_of(conn, stream, entries, jobs, at_ms=NOW_MS + HOUR_MS)


def test_past_is_what_the_log_recorded_where_the_row_has_changed_since() -> None:
    today = candidate(last_synced_at=NOW_MS + 2 * HOUR_MS, expires_at=NOW_MS + 9 * HOUR_MS)

    known = past_of(today, lives.DUE_AGAIN, lives.STARTED, lives.CREATED_AFTER_REFRESH)
    unknown = past_of(today).conn
    same = past_of(candidate(last_synced_at=NOW_MS), lives.DUE_AGAIN)

    then = known.conn.last_synced_at, known.conn.expires_at
    assert then == (NOW_MS - 2 * HOUR_MS, NOW_MS + HOUR_MS)
    assert (unknown.last_synced_at, unknown.expires_at) == (None, NOW_MS + 9 * HOUR_MS)
    assert same.conn.last_synced_at == NOW_MS
    assert sorted(known.recorded) == ["fresh", "future"]
    assert not same.recorded


@pytest.mark.parametrize(
    ("facts", "was_open"),
    [
        ({"status": "pending"}, True),
        ({"status": "completed", "completed_at": NOW_MS + HOUR_MS + 1}, True),
        ({"status": "completed", "completed_at": NOW_MS + HOUR_MS}, False),
        ({"status": "completed"}, False),
        ({"created_at": NOW_MS + HOUR_MS + 1}, False),
        ({"created_at": None}, False),
    ],
)
def test_job_was_open_if_it_had_begun_and_not_ended(
    facts: dict[str, object], *, was_open: bool
) -> None:
    past = past_of(candidate(), lives.DUE, lives.CREATED, jobs=[job("job-1", **facts)])

    assert (past.conn.job_id == "job-1") is was_open
