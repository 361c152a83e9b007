"""SQL as files: `-- name: due` begins a query, and `:name` in it is a parameter.

Names become numbers (`?1`) when a file is loaded, because that is what D1 takes and what
executemany takes fastest. The caller names the parameters it will bind, in its own order, and a
file that says otherwise stops the import. `-- name: {guards}` begins what is no query by itself,
and stands in queries under that name.

A statement may also be filled with literals, for people who take it to another tool. The program
itself never executes such a text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

BLOCK: Final = 15  # Rows; for each statement SQLite opens its tables anew. More make no difference.

_HERE: Final = Path(__file__).parent
_BLOCK: Final = "\n-- name: "
_PARAMETER: Final = re.compile(r":(?<![:\w]:)([a-z_]+)")  # A colon first is found fast.
_NUMBERED: Final = re.compile(r"\?(\d+)")
# What means the same to a shell between double quotes, and to what splits a file into statements.
_PLAIN: Final = re.compile(r"(?:[\w .,:'@%+=/()\[\]{}<>#?&|~^]|-(?!-))*")


class Query(msgspec.Struct, frozen=True):
    """One statement with numbered parameters."""

    name: str
    sql: str
    block: str | None = None  # The same for BLOCK rows at once, if it has VALUES.


def load(file: str) -> Mapping[str, str]:
    """Return the statements of a file beside this one, by name, parameters still named."""
    # Without a regular expression for once: these files are read at each start.
    text = (_HERE / file).read_text(encoding="utf-8")
    blocks = dict(map(_named, f"\n{text}".split(_BLOCK)[1:]))
    parts = {name: blocks.pop(name) for name in list(blocks) if name.startswith("{")}
    for part, condition in parts.items():
        blocks = {name: sql.replace(part, condition) for name, sql in blocks.items()}
    return blocks


def _named(block: str) -> tuple[str, str]:
    name, *lines = block.split("\n")
    kept = (line for line in lines if not line.lstrip().startswith("--"))
    return name, "\n".join(kept).strip().removesuffix(";")


def bind(statements: Mapping[str, str], name: str, *parameters: str) -> Query:
    """Return a statement whose parameters are numbered in the order given."""
    sql = statements[name]
    found = set(_PARAMETER.findall(sql))
    assert found == set(parameters), f"{name}: {found ^ set(parameters)}"
    numbers = {parameter: str(number) for number, parameter in enumerate(parameters, start=1)}
    sql = _PARAMETER.sub(lambda match: "?" + numbers[match[1]], sql)
    return Query(name, sql, _block_of(sql, len(parameters)))


def _block_of(sql: str, width: int) -> str | None:
    """Return a statement about one row of `width` parameters as one about BLOCK rows."""
    head, values, rest = sql.partition("VALUES ")
    if not values:
        return None
    row, end, tail = rest.partition(")")
    rows = [_moved(row + end, before) for before in range(0, BLOCK * width, width)]
    return head + values + ", ".join(rows) + tail


def _moved(sql: str, by: int) -> str:
    return _NUMBERED.sub(lambda match: f"?{int(match[1]) + by}", sql)


def filled(query: Query, *parameters: str | float | bytes | None) -> str:
    """Return a statement on one line with its parameters as literals.

    It means the same between the double quotes of a shell.
    """
    assert "--" not in query.sql, f"{query.name}: a comment would swallow the rest of the line"
    line = " ".join(query.sql.split())
    return _NUMBERED.sub(lambda match: literal(parameters[int(match[1]) - 1]), line)


def literal(value: str | float | bytes | None) -> str:
    """Return a value as SQL spells it."""
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"x'{value.hex()}'"
        case str() if _PLAIN.fullmatch(value):
            doubled = value.replace("'", "''")
            return f"'{doubled}'"
        case str():
            return f"CAST(x'{value.encode().hex()}' AS TEXT)"
        case _:
            return repr(value)
