"""Rules about the code itself, where a linter has no word for them."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine"
SOURCES = sorted(
    path for folder in ("engine", "adapters", "schema") for path in ROOT.glob(f"{folder}/**/*.py")
)
TESTS = sorted(ROOT.glob("tests/**/*.py"))

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
TEST_LINES_MAX = 25

# What the engine may import: see import-linter for who may import whom inside it.
ENGINE_IMPORTS = {"clearlift_engine", "msgspec"}
MACHINE_IMPORTS = {"transitions"}
IMPURE = {
    *("logging", "multiprocessing", "os", "pathlib", "random", "secrets", "socket", "sqlite3"),
    *("subprocess", "threading", "time", "uuid"),
}
IMPURE_CALLS = {"utcnow", "today", "fromtimestamp", "uuid4", "open", "print", "input"}
CLOCK = re.compile(r"\b(datetime|date)\.(now|today|utcnow)\b")  # `clock.now()` is the port.
BANNED = {
    *("base", "common", "core", "helper", "helpers", "manager", "misc", "models", "service"),
    *("types", "util", "utils"),
}
SQL = re.compile(
    r"\b(SELECT\b.*\bFROM|INSERT\b.*\bINTO|UPDATE\b.*\bSET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX)"
    r"|DROP\s+(TABLE|INDEX)|ALTER\s+TABLE)\b",
    re.DOTALL,
)
# What silences a tool, the codes it is silenced for, and then some words.
EXCUSE = re.compile("#" + r"\s*(noqa|type:\s*ignore|pyright:\s*ignore)(?P<rest>.*)")
REASON = re.compile(r"(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*|\[[\w, -]+\])[\s#-]+\w")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_source = pytest.mark.parametrize("path", SOURCES, ids=named)
each_engine_source = pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.is_relative_to(ENGINE)], ids=named
)
each_test_file = pytest.mark.parametrize("path", TESTS, ids=named)
each_file = pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=named)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> set[str]:
    """Return the top-level names of all that is imported, wherever that is done."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name.split(".")[0] for alias in aliases}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module.split(".")[0])
            case _:
                pass
    return names


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the name and the length of every function; its decorators are not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def built_strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the constant parts of every string put together at run time: f"", %, + and format."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() | ast.BinOp(op=ast.Add() | ast.Mod()):
                parts = ast.walk(node)
            case ast.Call(func=ast.Attribute(attr="format" | "replace", value=value)):
                parts = ast.walk(value)
            case _:
                continue
        texts = [part.value for part in parts if isinstance(part, ast.Constant)]
        yield node.lineno, "…".join(text for text in texts if isinstance(text, str))


@each_engine_source
def test_the_engine_imports_the_standard_library_and_msgspec(path: Path) -> None:
    outside = {name for name in imports(tree_of(path)) if name not in sys.stdlib_module_names}

    assert outside <= ENGINE_IMPORTS | MACHINE_IMPORTS
    assert path.name == "machine.py" or not outside & MACHINE_IMPORTS


@each_engine_source
def test_the_engine_has_no_clock_no_randomness_and_no_files(path: Path) -> None:
    tree = tree_of(path)
    calls = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }

    assert not imports(tree) & IMPURE
    assert not calls & IMPURE_CALLS
    assert not CLOCK.search(path.read_text(encoding="utf-8"))


@each_file
def test_a_file_fits_one_idea(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= FILE_LINES_MAX


@each_source
def test_a_function_fits_on_the_page(path: Path) -> None:
    too_long = {name: n for name, n in functions(tree_of(path)) if n > FUNCTION_LINES_MAX}

    assert not too_long


@each_test_file
def test_a_test_fits_in_three_paragraphs(path: Path) -> None:
    found = functions(tree_of(path))

    assert not {name: n for name, n in found if name.startswith("test_") and n > TEST_LINES_MAX}


@each_file
def test_a_file_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@each_file
def test_a_file_is_named_after_what_is_in_it(path: Path) -> None:
    assert not BANNED & {path.stem, path.parent.name}


@each_source
def test_sql_is_never_put_together_at_run_time(path: Path) -> None:
    found = [line for line, text in built_strings(tree_of(path)) if SQL.search(text)]

    assert not found, f"lines {found}"


@each_file
def test_whoever_silences_a_tool_says_why_on_the_line(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    unexcused = [
        number
        for number, line in enumerate(lines, start=1)
        if (found := EXCUSE.search(line)) and not REASON.match(found["rest"])
    ]

    assert not unexcused, f"lines {unexcused}"


@each_engine_source
def test_the_engine_silences_no_tool_at_all(path: Path) -> None:
    assert not EXCUSE.search(path.read_text(encoding="utf-8"))


@each_source
def test_only_the_command_line_catches_everything(path: Path) -> None:
    caught = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") == "Exception")
    ]

    assert not caught or "cli" in path.parts, f"lines {caught}"
