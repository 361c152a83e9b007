"""`migrate`: from nothing, twice, and without touching anything."""

from clearlift_adapters.migrations import migration_names
from tests.cli.program import Program


def test_a_dry_run_names_what_is_missing_and_makes_no_file(program: Program) -> None:
    ended = program.run("migrate", "--dry-run", "--json", "--database", "sqlite:///new.db")

    assert ended.json == {"applied": [], "pending": migration_names()}
    assert not (program.folder / "new.db").exists()


def test_migrating_makes_a_database_for_its_owner_alone_and_does_so_once(program: Program) -> None:
    first = program.run("migrate", "--json", "--database", "sqlite:///new.db")
    again = program.run("migrate", "--json", "--database", "sqlite:///new.db")

    assert first.json == {"applied": migration_names(), "pending": []}
    assert again.json == {"applied": [], "pending": []}
    assert (program.folder / "new.db").stat().st_mode & 0o777 == 0o600


def test_whoever_writes_says_that_the_clock_is_set(program: Program) -> None:
    writes = program.run("migrate", CLEARLIFT_NOW="2026-10-10T12:00:00Z")
    reads = program.run("migrate", "--dry-run", CLEARLIFT_NOW="2026-10-10T12:00:00Z")

    assert writes.said == ["CLEARLIFT_NOW is set: this is not the time of day"]
    assert reads.said == []
