"""Mutants are what they say: one change each, and none of what only readers and types see."""

import ast

import pytest

from tests.mutation.mutants import mutants

SOURCE = '''"""A docstring."""

LIMIT: Final[int] = 5


class Struct(Base, frozen=True):
    """Another."""

    count: int = 0


def rule(at: int, until: int) -> int | None:
    assert at >= 0, f"{at} is too early"
    if at < until and not LIMIT == at:
        note("a", "b")
        return max(at, until) + LIMIT
    return None
'''


def test_each_mutant_is_one_change_and_a_module_all_the_same() -> None:
    whole = ast.unparse(ast.parse(SOURCE)).splitlines()

    found = list(mutants(SOURCE))

    for mutant in found:
        lines = ast.unparse(ast.parse(mutant.source)).splitlines()
        assert lines != whole
        changed = [pair for pair in zip(whole, lines, strict=False) if pair[0] != pair[1]]
        assert len(changed) == 1 or len(lines) != len(whole)
    assert len({mutant.source for mutant in found}) == len(found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("5", "6"),
        ("0", "1"),
        ("at < until", "at <= until"),
        ("LIMIT == at", "LIMIT != at"),
        ("not LIMIT == at", "LIMIT == at"),
        ("note('a', 'b')", "pass"),
        ("note('a', 'b')", "note('b', 'a')"),
        ("max(at, until) + LIMIT", "max(at, until) - LIMIT"),
        ("return max(at, until) + LIMIT", "return None"),
    ],
)
def test_a_rule_is_changed_in_each_of_its_places(before: str, after: str) -> None:
    assert (before, after) in [(mutant.before, mutant.after) for mutant in mutants(SOURCE)]


def test_what_is_said_to_readers_and_types_stays() -> None:
    changed = {mutant.before for mutant in mutants(SOURCE)}

    assert not {"True", "at >= 0", "int | None", "max(at, until)"} & changed
