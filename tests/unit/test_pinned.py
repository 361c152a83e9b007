"""What is installed is pinned twice: for everybody by version, for production by hash."""

import re
import tomllib
from pathlib import Path
from typing import Any

from tests.unit.test_tidy import ROOT

PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<where>[^\\]+?))?(?: \\)?$")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
NAME = re.compile(r"[A-Za-z0-9-]+")


def text_of(name: str) -> str:
    return Path(ROOT / name).read_text(encoding="utf-8")


def pinned(name: str) -> dict[str, tuple[str, str | None]]:
    """Return the version of each package, and where it is wanted."""
    found = [PINNED.match(line) for line in text_of(name).splitlines()]
    return {each["name"]: (each["version"], each["where"]) for each in found if each is not None}


def project() -> dict[str, Any]:
    return tomllib.loads(text_of("pyproject.toml"))


def names(requirements: list[str]) -> set[str]:
    return {found[0].lower() for each in requirements if (found := NAME.match(each))}


def test_what_is_pinned_by_hash_is_pinned_by_the_same_version_for_everybody() -> None:
    everybody, production = pinned("constraints.txt"), pinned("requirements.txt")

    assert {name: everybody.get(name) for name in production} == production
    assert "pytest" in everybody
    assert "pytest" not in production


def test_production_has_all_that_it_may_use_and_what_builds_the_project() -> None:
    declared = project()
    extras = declared["project"]["optional-dependencies"]
    wanted = [*declared["project"]["dependencies"], *extras["web"], *extras["otel"]]

    assert (
        names([*wanted, *declared["build-system"]["requires"]]) <= pinned("requirements.txt").keys()
    )
    assert names(extras["dev"]) - {declared["project"]["name"]} <= pinned("constraints.txt").keys()


def test_every_package_has_its_hashes_and_no_line_says_where_it_comes_from() -> None:
    lines = text_of("requirements.txt").splitlines()

    kinds = "".join(
        "p" if PINNED.match(line) else "h" if HASH.match(line) else "?" for line in lines
    )
    assert re.fullmatch("(ph+)+", kinds)
    assert all(
        line.endswith(" \\") for line, kind in zip(lines, kinds[1:], strict=False) if kind == "h"
    )
    assert not re.search(r"://|--(extra-)?index|--find-links|@", text_of("requirements.txt"))
