"""The README's table of what can go wrong, as rows to be proven."""

import re
from pathlib import Path
from typing import Final, NamedTuple

README: Final = Path(__file__).parents[2] / "README.md"
_SECTION: Final = "## When something goes wrong\n"
_VERBATIM: Final = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


class Trouble(NamedTuple):
    """One row: what happens, what the user sees of it, the exit code, and what makes it good."""

    what: str
    seen: str
    code: int
    recovery: str

    @property
    def words(self) -> list[str]:
        """Return what the row quotes from the output, in its order; … stands for anything."""
        quotes = [match[2].strip() for match in _VERBATIM.finditer(self.seen)]
        return [part.strip() for quote in quotes for part in quote.split("…")]


def troubles() -> list[Trouble]:
    """Return the rows of the README's table."""
    section = README.read_text(encoding="utf-8").partition(_SECTION)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    return [Trouble(what, seen, int(code), recovery) for what, seen, code, recovery in rows]
