"""`just docs`: write docs/reference anew."""

from pathlib import Path
from typing import Final

import msgspec

from tests.reference import commands
from tests.reference.printed import PRINTED, file_of, schema_of

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return every file of the reference, by its path there."""
    schemas = {
        f"json/{file_of(name)}": msgspec.json.format(
            msgspec.json.encode(schema_of(name)), indent=2
        ).decode()
        for name in PRINTED
    }
    return {"commands.md": commands.text(), **{name: f"{text}\n" for name, text in schemas.items()}}


def main() -> None:
    """Write all files, and remove those that nothing is printed for any more."""
    made = pages()
    (FOLDER / "json").mkdir(parents=True, exist_ok=True)
    for path in (FOLDER / "json").iterdir():
        if f"json/{path.name}" not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
