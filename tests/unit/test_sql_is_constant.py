"""Every SQL text that is executed was written down before the program ran.

Whatever reaches a database is a constant, a statement of a file beside its adapter, or stands in
REASONS. So nothing that was read from a row or a setting can become a part of a statement: a new
f-string, a new `format`, a new detour fails here before anybody has to notice it.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ADAPTERS = Path(__file__).parents[2] / "adapters" / "clearlift_adapters"
SOURCES = sorted(ADAPTERS.glob("**/*.py"))
EXECUTING = {"execute", "executemany", "execute_fetchall", "executescript", "execute_insert"}
# What holds a text until it is executed: the name of the struct, and which argument the text is.
HOLDING = {"Query": 1, "Statement": 0}

_A_QUERY = "the text of a Query, and all of those are looked at here"
REASONS: Mapping[tuple[str, str], str] = {
    ("stores/database.py", "query.sql"): _A_QUERY,
    ("stores/database.py", "sql"): _A_QUERY,
    ("stores/database.py", "pragma"): "one of _PRAGMAS",
    ("stores/database.py", "_JOURNALS[wanted]"): "a choice of two constants",
    ("stores/database.py", "_BEGIN[kind]"): "a choice of two constants",
    ("stores/queries.py", "sql"): "a file's statement, with numbers for names",
    ("stores/d1.py", "query.sql"): _A_QUERY,
    ("stores/d1.py", "sql"): "a Query's text, with JSON paths for numbers",
    ("migrations.py", "statement"): "from a file of clearlift_schema",
    ("migrations.py", "script"): "likewise, on a database in memory",
}
CONSTANTS = {"stores/database.py": {"_PRAGMAS", "_JOURNALS", "_BEGIN"}}


class Text(NamedTuple):
    """A place where a text is executed, or held to be executed later."""

    file: str
    line: int
    argument: ast.expr

    @property
    def is_constant(self) -> bool:
        return isinstance(self.argument, ast.Constant)

    @property
    def key(self) -> tuple[str, str]:
        return self.file, ast.unparse(self.argument)


def named(path: Path) -> str:
    return str(path.relative_to(ADAPTERS))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def texts_in(tree: ast.Module, file: str = "a.py") -> Iterator[Text]:
    """Yield every SQL text that a module executes or keeps."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=method), args=[argument, *_]) if (
                method in EXECUTING
            ):
                yield Text(file, node.lineno, argument)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in HOLDING:
                by_name = [word.value for word in node.keywords if word.arg == "sql"]
                yield Text(file, node.lineno, [*by_name, *node.args[HOLDING[name] :]][0])
            case _:
                pass


def assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Return what stands at the top of a module, by its name."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = value
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
            case _:
                pass
    return found


def binds_in(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "bind"
        ):
            yield node


def is_statements(value: ast.expr | None) -> bool:
    """Return whether these are the statements of a file, or statements written out."""
    match value:
        case ast.Call(func=ast.Name(id="load"), args=[ast.Constant(value=str(file))]):
            return (ADAPTERS / "stores" / file).is_file()
        case ast.Dict():
            return isinstance(ast.literal_eval(value), dict)
        case _:
            return False


ALL = [text for path in SOURCES for text in texts_in(tree_of(path), named(path))]


def test_text_is_constant_or_there_is_a_reason() -> None:
    without = [text for text in ALL if not text.is_constant and text.key not in REASONS]

    assert not without, [f"{text.file}:{text.line} {text.key[1]}" for text in without]


def test_every_reason_is_still_needed() -> None:
    assert {text.key for text in ALL if not text.is_constant} == set(REASONS)


@pytest.mark.parametrize("file", CONSTANTS)
def test_what_a_reason_calls_constant_is_written_out(file: str) -> None:
    values = assigned(tree_of(ADAPTERS / file))

    for name in CONSTANTS[file]:
        assert ast.literal_eval(values[name])


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_what_is_bound_comes_from_a_file_or_is_written_out(path: Path) -> None:
    tree = tree_of(path)
    values = assigned(tree)

    for call in binds_in(tree):
        statements = call.args[0]
        assert isinstance(statements, ast.Name)
        assert is_statements(values.get(statements.id)), ast.unparse(call)


@pytest.mark.parametrize(
    "code",
    [
        "db.execute(f'SELECT {name}')",
        "db.execute('SELECT %s' % name)",
        "db.execute('SELECT ' + name)",
        "db.executemany('SELECT {}'.format(name), rows)",
        "await db.execute_fetchall(build(name))",
        "Query('due', f'SELECT {name}')",
        "Query(name='due', sql=text)",
        "queries.Query('due', text)",
    ],
)
def test_text_that_is_put_together_is_found(code: str) -> None:
    [text] = texts_in(ast.parse(code))

    assert not text.is_constant
    assert text.key not in REASONS
