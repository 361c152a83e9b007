"""docs/reference says what the code does: `just docs` writes it anew."""

import pkgutil
from importlib import import_module

import msgspec

from clearlift_adapters import cli
from tests.reference.__main__ import FOLDER, pages
from tests.reference.commands import every
from tests.reference.printed import PRINTED, schema_of


def test_the_reference_is_what_the_code_says() -> None:
    made = pages()

    there = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.*")
        if path.is_file()
    }

    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    assert not stale, f"run `just docs`, and commit: {', '.join(stale)}"


def test_whatever_the_command_line_prints_has_a_schema() -> None:
    shown = {name for each in PRINTED for name in schema_of(each).get("$defs", ())}

    names = [found.name for found in pkgutil.iter_modules(cli.__path__)]
    for each in names:
        module = import_module(f"{cli.__name__}.{each}") if each != "__main__" else cli
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                is_shown = kind.__module__ == module.__name__ and name.endswith(("View", "Report"))
                assert not is_shown or name in shown, (
                    f"add it to tests/reference/printed.py: {name}"
                )


def test_only_commands_that_there_are_have_schemas() -> None:
    words = {name.split(" --")[0] for name in PRINTED}

    assert words - {"install"} <= set(every())
