"""The fold and the chain, against a computation of their own."""

import hashlib
import json
import re
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_engine.errors import IllegalTransitionError
from clearlift_engine.events import Event, decode
from clearlift_engine.machine import STATES, State
from clearlift_engine.stream import Draft, Entry, Stream, chain, evolve, record
from tests.unit import lives
from tests.unit.lives import NOW_MS

STRICT_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SECRET = re.compile(r"token|secret|password|key|cipher|encrypted")
LIFE: Sequence[Event] = (
    lives.DUE,
    lives.STARTED,
    lives.RELEASED,
    lives.STARTED,
    lives.CREATED_AFTER_REFRESH,
    lives.ENQUEUED,
    lives.DUE_AGAIN,
    lives.STARTED,
    lives.FAILED,
)


def expected_hash(previous: str | None, row: Draft | Entry) -> str:
    """Compute the hash from the description in `stream` alone, with the standard library."""
    columns = [
        1,
        previous,
        row.connection_id,
        row.version,
        row.transition,
        row.source,
        row.target,
        row.occurred_at,
        row.run_id,
        row.job_id,
        row.data,
    ]
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def after(state: State | None, event: Event, **columns: object) -> Stream:
    """Return a busy stream at `state`, with `columns`, after `event`."""
    before = Stream(
        lives.CONNECTION,
        state,
        version=7,
        hash="h7",
        changed_at=NOW_MS,
        job_id="job-0",
        lease_until=1,
        retry_at=2,
        failures=3,
        credentials="fp-0",
        in_doubt=4,
    )
    before = msgspec.structs.replace(before, **columns)
    return evolve(before, event, occurred_at=NOW_MS + 5, digest="h8")


def busy(state: State, **columns: object) -> Stream:
    """Return what `after` ought to return: `columns` over what all events have in common."""
    expected = Stream(lives.CONNECTION, state, version=8, hash="h8", changed_at=NOW_MS + 5)
    return msgspec.structs.replace(expected, **columns)


def test_each_row_is_chained_to_the_row_before_it() -> None:
    _, drafts = lives.live(*LIFE)

    previous = None
    for draft in drafts:
        assert draft.hash == expected_hash(previous, draft)
        previous = draft.hash


def test_the_first_hash_of_a_known_row_never_changes() -> None:
    _, (draft,) = lives.live(lives.DUE)

    assert draft.hash == "b7cd5ca635f5cdb78bded7b05b3398d7655404c021b5127d7a19028ff98cc58d"


@given(STRICT_TEXT, STRICT_TEXT, STRICT_TEXT | st.none(), st.integers(-(2**63), 2**63 - 1))
def test_the_encoding_is_plain_json_whatever_the_columns_hold(
    text: str, data: str, job_id: str | None, number: int
) -> None:
    row = Entry(1, text, 1, "fell_due", None, "due", number, text, job_id, data, "")

    assert chain(None, row) == expected_hash(None, row)
    assert chain(text, row) == expected_hash(text, row)


def test_the_position_is_not_hashed_for_it_is_given_out_later() -> None:
    row = Entry(1, "a", 1, "fell_due", None, "due", 0, "run", None, "{}", "")

    assert chain(None, row) == chain(None, msgspec.structs.replace(row, position=2))


def test_record_numbers_the_rows_and_names_both_ends_of_each() -> None:
    stream, drafts = lives.live(lives.DUE, lives.CREATED, lives.ENQUEUED)

    assert [(row.version, row.source, row.target) for row in drafts] == [
        (1, None, "due"),
        (2, "due", "job_created"),
        (3, "job_created", "enqueued"),
    ]
    assert [row.job_id for row in drafts] == [None, "job-1", "job-1"]
    assert (stream.state, stream.version, stream.hash) == ("enqueued", 3, drafts[-1].hash)


def test_the_stream_that_record_returns_is_the_fold_of_its_rows() -> None:
    stream, drafts = lives.live(*LIFE)

    folded = Stream(lives.CONNECTION)
    for row in drafts:
        event = decode(row.transition, row.data)
        folded = evolve(folded, event, occurred_at=row.occurred_at, digest=row.hash)

    assert folded == stream


def test_occurred_at_never_goes_back_though_the_clock_does() -> None:
    stream, _ = record(Stream("a"), lives.DUE, at_ms=NOW_MS, run_id="r")

    same, draft = record(stream, lives.CREATED, at_ms=NOW_MS - 1, run_id="r")
    _, later = record(stream, lives.CREATED, at_ms=NOW_MS + 1, run_id="r")

    assert (draft.occurred_at, same.changed_at) == (NOW_MS, NOW_MS)
    assert later.occurred_at == NOW_MS + 1


def test_an_event_that_the_machine_forbids_makes_no_row() -> None:
    stream, _ = lives.live(lives.DUE)

    with pytest.raises(IllegalTransitionError):
        record(stream, lives.ENQUEUED, at_ms=NOW_MS, run_id="r")


@pytest.mark.parametrize("state", [None, "enqueued", "failed"])
def test_falling_due_opens_a_cycle_and_remembers_what_failed_before(state: State | None) -> None:
    stream = after(state, lives.DUE)

    assert stream == busy("due", failures=3, credentials="fp-0", in_doubt=4)


def test_a_refresh_has_a_lease_and_one_more_request_is_in_doubt() -> None:
    started = msgspec.structs.replace(lives.STARTED, in_doubt=2)

    stream = after("due", started)

    lease = lives.STARTED.lease_until
    expected = busy("refreshing", failures=3, credentials="fp-1", in_doubt=3, lease_until=lease)
    assert stream == expected


@pytest.mark.parametrize(("ambiguous", "in_doubt"), [(True, 4), (False, 0)])
def test_a_release_ends_the_lease_and_the_doubt_unless_it_is_ambiguous(
    *,
    ambiguous: bool,
    in_doubt: int,
) -> None:
    released = msgspec.structs.replace(lives.RELEASED, ambiguous=ambiguous)

    stream = after("refreshing", released)

    assert stream == busy("due", failures=3, credentials="fp-0", in_doubt=in_doubt)


def test_a_job_after_a_refresh_forgets_every_failure_and_doubt() -> None:
    stream = after("refreshing", lives.CREATED_AFTER_REFRESH)

    assert stream == busy("job_created", job_id="job-1")


@pytest.mark.parametrize("state", ["due", "refreshing"])
def test_a_job_without_a_refresh_leaves_in_doubt_what_was(state: State) -> None:
    stream = after(state, msgspec.structs.replace(lives.CREATED, refresh=None))

    assert stream == busy("job_created", job_id="job-1", credentials="fp-0", in_doubt=4)


def test_an_enqueued_job_is_the_one_that_was_created() -> None:
    stream = after("job_created", lives.ENQUEUED, failures=0, credentials=None, in_doubt=0)

    assert stream == busy("enqueued", job_id="job-0")


@pytest.mark.parametrize("state", ["due", "refreshing", "job_created"])
def test_a_failure_is_counted_and_says_when_to_try_again(state: State) -> None:
    stream = after(state, lives.FAILED)

    assert stream == busy(
        "failed",
        job_id="job-0",
        failures=4,
        retry_at=lives.FAILED.retry_at,
        credentials="fp-1",
        in_doubt=4,
    )


def test_a_failure_for_good_has_no_time_to_retry_and_leaves_no_doubt() -> None:
    stream = after("refreshing", lives.DEAD)

    assert stream == busy("failed", job_id="job-0", failures=4, credentials="fp-1")


def test_the_job_of_a_failure_before_any_job_is_none() -> None:
    _, drafts = lives.live(lives.DUE, lives.STARTED, lives.FAILED)

    assert drafts[-1].job_id is None


def test_the_states_of_a_stream_are_those_of_the_machine() -> None:
    _, drafts = lives.live(*LIFE)

    assert {draft.target for draft in drafts} == set(STATES)


@pytest.mark.parametrize("struct", [Stream, Draft, Entry], ids=lambda cls: cls.__name__)
def test_no_row_has_a_place_for_a_secret(struct: type[msgspec.Struct]) -> None:
    assert not [name for name in struct.__struct_fields__ if SECRET.search(name)]
