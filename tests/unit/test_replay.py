"""replay, over a sound log and over every way to damage it; its jobs: test_replay_jobs."""

import hashlib
import json
from collections.abc import Callable, Sequence

import msgspec
import pytest

from clearlift_engine.audit import Rule
from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.events import encode
from clearlift_engine.jobs import job_row
from clearlift_engine.ports import JobState
from clearlift_engine.replay import (
    VIOLATIONS_MAX,
    ReplayReport,
    fold,
    replay,
    states_at,
)
from clearlift_engine.stream import Entry, Stream, chain
from tests.unit import lives
from tests.unit.lives import NOW_MS
from tests.unit.shelf import ACME, BETA, GAMMA, HAPPENED, Shelf, broken, changed, rules

POSITIONS = range(1, len(HAPPENED) + 1)


async def test_a_sound_log_breaks_no_rule() -> None:
    report = await replay(Shelf())

    assert report.violations == []
    assert (report.connections, report.events, report.omitted) == (3, len(HAPPENED), 0)


async def test_an_empty_log_breaks_no_rule_and_its_digest_is_the_hash_of_nothing() -> None:
    shelf = Shelf()
    shelf.entries, shelf.projections, shelf.jobs, shelf.highest = [], {}, [], 0

    report = await replay(shelf)

    assert report == ReplayReport(0, 0, [], hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("column", Entry.__struct_fields__)
async def test_one_changed_value_in_any_column_of_any_row_of_the_log_is_named(
    column: str, position: int
) -> None:
    shelf = Shelf()
    row = shelf.entries[position - 1]
    value = changed(getattr(row, column))
    if column == "position":
        value = position + 1000  # The next one is taken.

    shelf.edit_entry(position, **{column: value})

    report = await replay(shelf)
    named = position + 1000 if column == "position" else position
    if column == "position":  # No row is wrong by itself: the log as a whole is.
        assert "gapless_positions" in rules(report)
    else:
        assert named in {found.position for found in report.violations}


@pytest.mark.parametrize("at", range(-40, 0))
async def test_one_changed_byte_anywhere_in_the_message_is_named(at: int) -> None:
    shelf = Shelf()
    data = shelf.entries[2].data
    at *= len(data) // 40

    shelf.edit_entry(3, data=data[:at] + chr(ord(data[at]) ^ 1) + data[at:][1:])

    assert (ACME, 3, "hash_chain") in broken(await replay(shelf))


@pytest.mark.parametrize("position", POSITIONS)
async def test_a_deleted_row_is_missed_wherever_it_stood(position: int) -> None:
    shelf = Shelf()
    gone = shelf.entries.pop(position - 1)

    report = await replay(shelf)

    assert "gapless_positions" in rules(report)
    assert gone.connection_id in {found.connection_id for found in report.violations}


async def test_a_row_deleted_at_the_beginning_or_in_the_middle_is_named_by_the_next() -> None:
    first, middle = Shelf(), Shelf()
    first.entries.pop(0)
    middle.entries.pop(2)

    assert (ACME, 3, "contiguous_versions") in broken(await replay(first))
    assert (ACME, 6, "contiguous_versions") in broken(await replay(middle))


async def test_a_row_deleted_at_the_end_is_missed_by_the_projection() -> None:
    shelf = Shelf()
    shelf.entries.pop()

    report = await replay(shelf)

    assert (ACME, 10, "projection_is_fold") in broken(report)
    assert (ACME, None, "explained_job") in broken(report)


@pytest.mark.parametrize("connection_id", [ACME, BETA, GAMMA])
async def test_a_stream_deleted_with_all_that_knew_of_it_changes_the_digest(
    connection_id: str,
) -> None:
    shelf = Shelf()
    before = await replay(shelf)
    shelf.entries = [row for row in shelf.entries if row.connection_id != connection_id]
    shelf.jobs = [row for row in shelf.jobs if row.connection_id != connection_id]
    del shelf.projections[connection_id]

    after = await replay(shelf)

    assert rules(after) == {"gapless_positions"}
    assert after.digest != before.digest


async def test_the_digest_is_that_of_the_newest_row_of_each_stream() -> None:
    shelf = Shelf()
    heads = {row.connection_id: [row.connection_id, row.version, row.hash] for row in shelf.entries}
    lines = [json.dumps(heads[name], separators=(",", ":")) + "\n" for name in sorted(heads)]

    report = await replay(shelf)

    assert report.digest == hashlib.sha256("".join(lines).encode()).hexdigest()


async def test_the_digest_depends_on_the_log_alone() -> None:
    shelf = Shelf()
    before = await replay(shelf)
    shelf.projections.clear()
    shelf.jobs.clear()

    after = await replay(shelf)

    assert after.digest == before.digest
    assert rules(after) == {"events_have_projection", "job_row"}


@pytest.mark.parametrize("connection_id", [ACME, BETA, GAMMA])
@pytest.mark.parametrize("column", Stream.__struct_fields__[1:])
async def test_one_edited_column_of_a_projection_is_named(column: str, connection_id: str) -> None:
    shelf = Shelf()
    stream, position = shelf.projections[connection_id]

    shelf.edit_projection(connection_id, **{column: changed(getattr(stream, column))})

    report = await replay(shelf)
    assert broken(report) == {(connection_id, position, "projection_is_fold")}
    assert report.violations[0].detail.startswith(f"{column}: ")


async def test_an_edited_position_of_a_projection_is_named() -> None:
    shelf = Shelf()
    stream, position = shelf.projections[BETA]
    shelf.projections[BETA] = stream, position - 1

    report = await replay(shelf)

    assert broken(report) == {(BETA, position, "projection_is_fold")}
    assert report.violations[0].detail == "position: the log says 9, the row 8"


async def test_a_projection_under_another_name_is_missed_here_and_unexplained_there() -> None:
    shelf = Shelf()
    stream, position = shelf.projections.pop(BETA)
    other = msgspec.structs.replace(stream, connection_id="bete")
    shelf.projections["bete"] = other, position

    assert broken(await replay(shelf)) == {
        (BETA, 9, "events_have_projection"),
        ("bete", 9, "projection_has_events"),
    }


def rewritten(
    edit: Callable[[Sequence[Entry]], Sequence[Entry]], connection_id: str = GAMMA
) -> Shelf:
    """Return a log whose rows of one stream were edited and then hashed anew, as by a forger."""
    shelf = Shelf()
    others = [row for row in shelf.entries if row.connection_id != connection_id]
    rows, previous = list[Entry](), None
    for row in edit(shelf.history(connection_id).entries):
        rows.append(msgspec.structs.replace(row, hash=chain(previous, row)))
        previous = rows[-1].hash
    shelf.entries = others + rows
    shelf.edit_projection(connection_id, hash=previous)
    return shelf


@pytest.mark.parametrize(
    ("index", "columns", "rule"),
    [
        (0, {"transition": "job_enqueued", "data": "{}"}, "readable_data"),
        (0, {"data": "{"}, "readable_data"),
        (1, {"source": "failed"}, "legal_transition"),
        (1, {"target": "enqueued"}, "legal_transition"),
        (1, {"job_id": "job-8"}, "job_of_event"),
        (2, {"job_id": "job-8"}, "job_of_event"),
        (2, {"job_id": None}, "job_of_event"),
        (2, {"transition": "fell_due"}, "readable_data"),
        (1, {"occurred_at": NOW_MS - 1}, "ascending_times"),
        (1, {"position": 2}, "ascending_positions"),
        (0, {"position": 0}, "ascending_positions"),
        (2, {"version": 4}, "contiguous_versions"),
        (1, {"run_id": "run-8"}, "job_row"),
    ],
    ids=str,
)
async def test_a_forger_who_mends_the_hashes_still_breaks_a_rule(
    index: int, columns: dict[str, object], rule: Rule
) -> None:
    shelf = rewritten(
        lambda rows: [
            msgspec.structs.replace(row, **columns) if number == index else row
            for number, row in enumerate(rows)
        ]
    )

    report = await replay(shelf)

    assert rule in rules(report)
    assert "hash_chain" not in rules(report)


async def test_events_of_the_same_millisecond_are_in_order() -> None:
    shelf = rewritten(lambda rows: [msgspec.structs.replace(r, occurred_at=NOW_MS) for r in rows])
    shelf.edit_projection(GAMMA, changed_at=NOW_MS)

    assert (await replay(shelf)).violations == []


@pytest.mark.parametrize(
    ("columns", "rule", "detail"),
    [
        (
            {"source": "failed"},
            "legal_transition",
            "job_created goes 'due' → 'job_created', the row says 'failed' → 'job_created'",
        ),
        ({"job_id": None}, "job_of_event", "the event is about 'job-3', the row says None"),
        ({"position": 5}, "ascending_positions", "comes after position 5"),
        ({"version": 4}, "contiguous_versions", "version 3 follows version 1"),
        ({"occurred_at": 1}, "ascending_times", f"at 1, after one at {NOW_MS + 5}"),
    ],
    ids=str,
)
async def test_a_finding_says_what_ought_to_be_and_what_is(
    columns: dict[str, object], rule: Rule, detail: str
) -> None:
    shelf = rewritten(
        lambda rows: [rows[0], msgspec.structs.replace(rows[1], **columns), *rows[2:]]
    )

    found = (await replay(shelf)).violations

    assert detail in [violation.detail for violation in found if violation.rule == rule]


async def test_an_illegal_transition_is_named_with_the_state_it_came_in() -> None:
    shelf = rewritten(lambda rows: [rows[0], msgspec.structs.replace(rows[2], version=2)])

    report = await replay(shelf)

    details = [row.detail for row in report.violations if row.rule == "legal_transition"]
    assert details == ["no rule takes a connection from 'due' on 'job_enqueued'"]


async def test_rows_after_a_damaged_one_are_judged_by_themselves() -> None:
    shelf = Shelf()
    shelf.edit_entry(1, data="{")

    report = await replay(shelf)

    assert broken(report) == {(ACME, 1, "hash_chain"), (ACME, 1, "readable_data")}


async def test_a_projection_is_left_alone_where_the_log_does_not_say_what_it_ought_to_be() -> None:
    shelf = Shelf()
    shelf.edit_entry(9, data="{")  # Why BETA failed, and when it is tried again.

    report = await replay(shelf)

    assert broken(report) == {(BETA, 9, "hash_chain"), (BETA, 9, "readable_data")}


async def test_half_a_surrogate_pair_is_a_broken_chain_and_no_crash() -> None:
    shelf = Shelf()
    shelf.edit_entry(3, run_id="\ud800")

    assert (ACME, 3, "hash_chain") in broken(await replay(shelf))


async def test_only_the_streams_asked_for_are_read() -> None:
    shelf = Shelf()
    shelf.edit_entry(1, run_id="x")

    report = await replay(shelf, connection_ids=[BETA, GAMMA, "nobody"])

    assert report.violations == []
    assert (report.connections, report.events) == (2, 6)


async def test_a_log_broken_throughout_is_reported_in_bounded_memory() -> None:
    shelf = Shelf()
    row = job_row(lives.message("", BETA), "run-9")
    job = JobState(status="pending", **msgspec.structs.asdict(row))
    shelf.jobs += [msgspec.structs.replace(job, id=f"no-{n}") for n in range(VIOLATIONS_MAX + 3)]

    report = await replay(shelf)

    assert (len(report.violations), report.omitted) == (VIOLATIONS_MAX, 3)


async def test_a_finding_does_not_quote_megabytes() -> None:
    shelf = Shelf()
    shelf.edit_job("job-3", metadata="x" * 2_000_000)
    shelf.edit_entry(1, transition="y" * 2_000_000)

    report = await replay(shelf)

    assert max(len(found.detail) for found in report.violations) <= 400


async def test_the_projection_comes_back_from_the_log_alone() -> None:
    shelf = Shelf()
    before = dict(shelf.projections)
    shelf.projections = {"stray": before[BETA]}

    streams = await shelf.rebuild(fold)

    assert streams == 3
    assert shelf.projections == before


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"data": "{"}, UnreadableEventError),
        ({"version": 9}, UnreadableEventError),
        ({"transition": "job_enqueued", "data": encode(lives.ENQUEUED)}, IllegalTransitionError),
    ],
    ids=str,
)
async def test_a_log_that_cannot_be_folded_is_not_rebuilt_from(
    edits: dict[str, object], error: type[Exception]
) -> None:
    shelf = Shelf()
    before = dict(shelf.projections)
    shelf.edit_entry(2, **edits)

    with pytest.raises(error):
        await shelf.rebuild(fold)

    assert shelf.projections == before


async def test_states_are_those_of_the_moment_to_the_millisecond() -> None:
    shelf = Shelf()  # Row n was written n milliseconds after NOW_MS.

    at_three = [(row.connection_id, row.state) async for row in states_at(shelf, NOW_MS + 3)]
    at_five = [(row.connection_id, row.state) async for row in states_at(shelf, NOW_MS + 5)]

    assert at_three == [(ACME, "job_created"), (BETA, "due")]
    assert at_five == [(ACME, "job_created"), (BETA, "refreshing"), (GAMMA, "due")]


async def test_states_at_the_end_are_the_projection() -> None:
    shelf = Shelf()

    streams = [stream async for stream in states_at(shelf, NOW_MS * 2, [ACME, BETA])]

    assert streams == [shelf.projections[ACME][0], shelf.projections[BETA][0]]
