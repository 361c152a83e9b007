"""Whatever is done to the log or to its seals, verify names the first position it concerns.

Each way is tried at every row, or every seal, of a small log: see tests/unit/sealed.py.
"""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from clearlift_engine.seals import Problem
from clearlift_engine.stream import Entry, chain
from clearlift_engine.verify import Proof
from tests.unit.sealed import ATTACKER, ENDS, LOG, SEALS, SIGNER, proof, seals_over, woven

COLUMNS = Entry.__struct_fields__[1:]
each_row = pytest.mark.parametrize("position", range(1, len(LOG) + 1))
each_seal = pytest.mark.parametrize("number", range(1, len(SEALS) + 1))


def first(found: Proof) -> tuple[int, str]:
    """Return where the first thing is that is wrong, and which."""
    return found.violations[0].position, found.violations[0].rule


def other(value: str | int | None) -> Iterator[str | int]:
    """Yield some values near another one."""
    match value:
        case int():
            yield from (value + 1, value - 1, -value)
        case None:
            yield "x"
        case _:
            yield from (value + " ", value[1:], "", value.upper() + "!")


def renumbered(rows: list[Entry]) -> list[Entry]:
    return [replace(row, position=number) for number, row in enumerate(rows, start=1)]


def rewritten(rows: list[Entry]) -> list[Entry]:
    """Return rows whose hashes fit again, as whoever knows how we chain would make them."""
    last: dict[str, str] = {}
    done: list[Entry] = []
    for row in rows:
        row_hash = chain(last.get(row.connection_id), row)
        done.append(replace(row, hash=row_hash))
        last[row.connection_id] = row_hash
    return done


def test_a_log_that_is_as_it_was_sealed_is_proven_up_to_the_last_seal() -> None:
    found = proof(LOG, SEALS)

    assert (found.position, found.seals, found.newer) == (9, 3, 0)
    assert (found.sealed_at, found.log_digest) == ("2026-10-10T12:00:00.009Z", "0" * 64)
    assert found.violations == []


@pytest.mark.parametrize("ends", [(9,), (1,), (4, 5), tuple(range(1, 10)), ()])
def test_rows_after_the_last_seal_are_counted_and_not_proven(ends: tuple[int, ...]) -> None:
    found = proof(LOG, seals_over(LOG, ends))

    last = ends[-1] if ends else 0
    assert (found.position, found.newer, found.violations) == (last, len(LOG) - last, [])


@each_row
@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_row_is_named(position: int, column: str) -> None:
    row = LOG[position - 1]

    for value in other(getattr(row, column)):
        changed = [*LOG[: position - 1], replace(row, **{column: value}), *LOG[position:]]
        assert first(proof(changed, SEALS)) == (position, "row_changed")


@each_row
def test_a_changed_row_is_named_though_all_hashes_were_made_anew(position: int) -> None:
    row = replace(LOG[position - 1], run_id="another")
    changed = rewritten([*LOG[: position - 1], row, *LOG[position:]])

    found = proof(changed, SEALS)

    assert first(found) == (position, "row_changed")
    assert found.position == max((end for end in ENDS if end < position), default=0)


@each_row
def test_a_row_that_was_taken_out_is_named(position: int) -> None:
    rest = [*LOG[: position - 1], *LOG[position:]]

    assert first(proof(rest, SEALS)) == (position, "row_missing")


def test_a_finding_says_what_stands_in_the_place_of_a_row() -> None:
    half = replace(LOG[1], run_id="\ud800")  # Of a surrogate pair: no row of ours holds one.
    told = {
        "position 3 comes in its place": [LOG[0], *LOG[2:]],
        "the log ends before it; seal 1 goes on to 4": LOG[:1],
        "the row there says position 1": [LOG[0], *LOG],
        "the row there is no text": [LOG[0], half, *LOG[2:]],
        "the row is not the one of seal 1": [LOG[0], replace(LOG[1], run_id="x"), *LOG[2:]],
    }

    found = {detail: proof(rows, SEALS).violations for detail, rows in told.items()}

    assert [[v.detail for v in violations] for violations in found.values()] == [[d] for d in told]
    assert {v.position for violations in found.values() for v in violations} == {2}


@each_row
def test_a_row_that_was_taken_out_is_named_though_the_others_closed_ranks(position: int) -> None:
    rest = renumbered([*LOG[: position - 1], *LOG[position:]])

    named, _ = first(proof(rest, SEALS))

    assert named == position


@each_row
def test_a_row_that_was_put_in_is_named(position: int) -> None:
    new = replace(LOG[0], connection_id="new", position=position)

    beside = proof([*LOG[: position - 1], new, *LOG[position - 1 :]], SEALS)
    moved = proof(renumbered([*LOG[: position - 1], new, *LOG[position - 1 :]]), SEALS)

    assert first(beside) == first(moved) == (position, "row_changed")


@each_row
def test_rows_of_two_streams_that_changed_places_are_named(position: int) -> None:
    """Their own hashes do not know where they stand: nothing but the seal sees it."""
    other_position = position % len(LOG) + 1
    rows = [*LOG]
    a, b = rows[position - 1], rows[other_position - 1]
    rows[position - 1] = replace(b, position=position)
    rows[other_position - 1] = replace(a, position=other_position)

    found = proof(rows, SEALS)

    assert first(found) == (min(position, other_position), "row_changed")


@pytest.mark.parametrize("kept", range(len(LOG)))
def test_a_tail_that_was_cut_off_is_named(kept: int) -> None:
    assert first(proof(LOG[:kept], SEALS)) == (kept + 1, "row_missing")


@each_row
def test_a_line_that_is_no_row_is_named(position: int) -> None:
    torn = Problem("row_unreadable", "half a line")

    found = proof([*LOG[: position - 1], torn, *LOG[position:]], SEALS)

    assert first(found) == (position, "row_unreadable")
    assert found.newer is None


def test_another_log_under_the_same_seals_is_named_at_its_first_row() -> None:
    assert first(proof(woven("x", "y", "z"), SEALS)) == (1, "row_changed")


@each_seal
def test_a_seal_that_was_taken_out_is_missed(number: int) -> None:
    rest = [seal for seal in SEALS if seal.number != number]

    found = proof(LOG, rest)

    begins = SEALS[number - 1].first
    if number == len(SEALS):  # Nothing here says that there was one more: it is kept elsewhere.
        assert (found.position, found.newer, found.violations) == (5, 4, [])
    else:
        assert first(found) == (begins, "seal_missing")
        assert found.position == 9


@pytest.mark.parametrize(
    ("kept", "detail"), [((1, 2), "seal 1 is not there"), ((2,), "seal 1 to 2 is not there")]
)
def test_seals_that_were_taken_out_are_numbered(kept: tuple[int, ...], detail: str) -> None:
    found = proof(LOG, [SEALS[index] for index in kept])

    assert [v.detail for v in found.violations] == [detail]


@each_seal
def test_a_row_whose_seal_is_gone_too_is_named_by_the_range_that_a_later_seal_covers(
    number: int,
) -> None:
    seal = SEALS[number - 1]
    rows = [replace(row, run_id="x") if row.position == seal.position else row for row in LOG]

    found = proof(rows, [each for each in SEALS if each.number != number])

    assert found.position == seal.first - 1
    if number < len(SEALS):
        assert {v.rule for v in found.violations} == {"seal_missing", "rows_digest"}
        assert {v.position for v in found.violations} == {seal.first}


@each_seal
@pytest.mark.parametrize("column", [c for c in SEALS[0].__struct_fields__ if c != "format"])
def test_a_seal_that_was_changed_does_not_count(number: int, column: str) -> None:
    seal = SEALS[number - 1]
    value = getattr(seal, column)
    changed = value[:-1] + b"!" if isinstance(value, bytes) else next(other(value))

    found = proof(LOG, [replace(s, **{column: changed}) if s == seal else s for s in SEALS])

    assert first(found) == (seal.first, "seal_signature")


@each_seal
def test_a_seal_forged_with_another_key_does_not_count(number: int) -> None:
    forged = seals_over(LOG, signer=ATTACKER)[number - 1]
    as_ours = replace(forged, key=SIGNER.public)

    for seal in (forged, as_ours):
        found = proof(LOG, [seal if s.number == number else s for s in SEALS])
        assert first(found) == (seal.first, "seal_signature")


def test_history_written_anew_and_sealed_with_another_key_is_not_believed() -> None:
    history = woven("x", "y", "z")

    found = proof(history, seals_over(history, signer=ATTACKER))

    assert (found.position, first(found)) == (0, (1, "seal_signature"))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (0, 0, 1, 2)])
def test_seals_in_another_order_are_noticed(order: tuple[int, ...]) -> None:
    found = proof(LOG, [SEALS[number] for number in order])

    assert {v.rule for v in found.violations} <= {"seal_missing", "seal_order"}
    assert found.violations


def test_a_seal_over_another_past_does_not_follow() -> None:
    other_past = seals_over([replace(LOG[0], run_id="x"), *LOG[1:]])

    found = proof(LOG, [SEALS[0], *other_past[1:]])

    assert first(found) == (5, "seal_chain")


def test_a_line_that_is_no_seal_is_noticed_and_the_next_ones_count() -> None:
    found = proof(LOG, [SEALS[0], Problem("seal_unreadable", "half a line"), SEALS[2]])

    assert [v.rule for v in found.violations] == ["seal_unreadable", "seal_missing"]
    assert (found.position, found.seals) == (9, 2)


@pytest.mark.parametrize(
    "numbers",
    [
        {"marks": SEALS[0].marks[1:]},
        {"marks": SEALS[0].marks + b"!"},
        {"first": 2},
        {"first": 0, "marks": bytes(8) + SEALS[0].marks},
        {"first": 5, "marks": b""},
        {"first": 6, "marks": b""},
        {"position": 5},
    ],
    ids=str,
)
def test_a_seal_whose_numbers_do_not_fit_each_other_does_not_count(
    numbers: dict[str, bytes | int],
) -> None:
    found = proof(LOG, [SIGNER.signed(replace(SEALS[0], **numbers)), *SEALS[1:]])

    assert [v.rule for v in found.violations] == ["seal_unreadable", "seal_missing"]
    assert found.violations[0].detail == "the numbers of seal 1 contradict it"


def test_a_format_that_is_newer_is_not_guessed_at() -> None:
    newer = SIGNER.signed(replace(SEALS[2], format=2))

    found = proof(LOG, [*SEALS[:2], newer])

    assert first(found) == (6, "seal_unreadable")
