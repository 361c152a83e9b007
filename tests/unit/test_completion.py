"""What the rows of a commit that was done in part say of the rest of it."""

from collections.abc import Sequence

import msgspec

from clearlift_engine.decisions import completion, is_same_work, on_top
from clearlift_engine.events import Paused
from clearlift_engine.jobs import job_row
from clearlift_engine.ports import Commit
from clearlift_engine.stream import Entry, record
from tests.given import DUE, NOW_MS, commit, created, failed, started


def entries_of(made: Commit) -> Sequence[Entry]:
    """Return a commit's rows as the log has them."""
    return [
        Entry(number, **msgspec.structs.asdict(draft))
        for number, draft in enumerate(made.drafts, start=1)
    ]


def test_the_rest_of_a_cycle_is_its_job_and_the_stream_that_its_rows_make() -> None:
    event = created("c")
    made = commit("c", DUE, event, run_id="run")

    rest = completion(made.before, entries_of(made))

    assert (rest.before, rest.after, rest.drafts) == (made.before, made.after, ())
    assert rest.job == job_row(event.message, "run")
    assert (rest.sync_error, rest.clears_error) == (None, False)


def test_a_job_after_failures_takes_their_mark_back_and_nothing_else_does() -> None:
    before = commit("c", DUE, failed(retry_at=NOW_MS)).after

    with_job = commit(before, DUE, created("c"))
    without = commit(before, DUE)

    assert completion(before, entries_of(with_job)).clears_error
    assert not completion(before, entries_of(without)).clears_error


def test_the_rest_of_a_failure_is_what_its_users_read() -> None:
    made = commit("c", DUE, started(), failed(retry_at=NOW_MS))

    rest = completion(made.before, entries_of(made))

    assert rest.job is None
    assert rest.sync_error is not None
    assert rest.sync_error.endswith("Token refresh failed: a reason")


def test_work_goes_on_over_an_operators_word_and_over_nothing_else() -> None:
    claimed = commit("c", DUE, started()).after
    paused, _ = record(claimed, Paused(reason="why", by="ann"), at_ms=NOW_MS, run_id="r")
    over = commit(claimed, failed(retry_at=NOW_MS)).after
    due = commit("d", DUE).after
    due_paused, _ = record(due, Paused(reason="why", by="ann"), at_ms=NOW_MS, run_id="r")

    assert is_same_work(claimed, paused)
    assert not is_same_work(claimed, over)
    assert not is_same_work(due, due_paused)


def test_an_outcome_on_top_of_an_operators_word_is_the_same_but_for_its_place() -> None:
    claimed = commit("c", DUE, started()).after
    paused, _ = record(claimed, Paused(reason="why", by="ann"), at_ms=NOW_MS, run_id="r")
    made = commit(claimed, created("c"), run_id="another", at_ms=NOW_MS + 1)

    moved = on_top(made, paused)

    assert (moved.before, moved.after.state) == (paused, "job_created")
    assert [draft.version for draft in moved.drafts] == [paused.version + 1]
    assert [(draft.run_id, draft.occurred_at) for draft in moved.drafts] == [
        ("another", NOW_MS + 1)
    ]
    assert moved.after.hash == moved.drafts[-1].hash
