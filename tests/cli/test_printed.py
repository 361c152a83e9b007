"""What the commands print with --json is what the reference says that they print."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import msgspec
import pytest

from clearlift_adapters.cli.commands import run
from tests.cli.program import KEY, NOW, Program
from tests.reference.printed import PRINTED

# What stands for the rest of a command line, where it needs some; by the name in PRINTED.
REST: Final[Mapping[str, str]] = {
    "relay": "--drain",
    "replay --events": "well",
    "replay --as-of": "2026-10-10T12:00:59Z",
    "explain": "odd",
    "timeline": "odd",
    "jobs": "--recent 5",
    "report": "--out page.html",
    "connections show": "odd",
    "pause": "well --reason asked",
    "resume": "well --reason asked",
    "retry": "odd",
    "install": "systemd",
}
SEALED: Final = ("audit seal", "audit verify")  # They need keys of their own: see their tests.
ELSEWHERE: Final = ("demo", "serve", "run")  # They take long, or for ever.


@pytest.fixture
def there(program: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Return a database with something to tell, where the commands of this process look."""
    program.seed.add_connection("well", platform="stripe")
    program.seed.add_connection("odd", platform="pinterest", expires_at="2026-10-10T11:00:00Z")
    monkeypatch.chdir(program.folder)
    for name, value in {"ENCRYPTION_KEY": KEY, "CLEARLIFT_NOW": NOW}.items():
        monkeypatch.setenv(name, value)
    run(["tick", "--relay", "-q"])
    monkeypatch.setenv("CLEARLIFT_NOW", "2026-10-10T12:01:00Z")
    return program


@pytest.mark.parametrize("name", sorted(PRINTED.keys() - {*SEALED, *ELSEWHERE}))
def test_what_is_printed_has_the_fields_that_the_reference_names(
    there: Program, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()

    run([*name.split(), *REST.get(name, "").split(), "--json", "-q"])

    out = capsys.readouterr().out
    lines = out.splitlines() if PRINTED[name].lines else [out]
    assert lines
    for line in lines:
        assert msgspec.json.decode(line) in list(understood(name, line))


def understood(name: str, line: str) -> Iterator[object]:
    """Yield what is left of a line if it is read as what it may be, and written again."""
    for kind in PRINTED[name].types:
        with suppress(msgspec.ValidationError):
            yield msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(line, type=kind)))
