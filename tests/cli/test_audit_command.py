"""`audit` as a process: keys, seals in the database and in a file, an export, and what they prove.

What verify makes of each way to tamper is tried at every row in tests/unit/test_verify.py; here are
the ways that files and databases have of their own.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.seal import encoded
from tests.cli.program import Ended, Program
from tests.unit.sealed import LOG

UNLOCK = tuple(
    f"DROP TRIGGER {table}_{what}"
    for table in ("outbox_refuses", "audit_seals_refuse")
    for what in ("update", "delete", "replace")
)
SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # Of tests/unit/sealed.py's signer.
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
OTHER = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Return a folder with a log of the rows of tests/unit/sealed.py, and two seals over it."""
    folder = tmp_path_factory.mktemp("sealed")
    shutil.copy(empty_database, folder / "clearlift.db")
    with closing(sqlite3.connect(folder / "clearlift.db", isolation_level=None)) as raw:
        program = Program(folder, raw)
        for row in LOG:
            program.seed.add_entry(row)
            if row.position in (4, len(LOG)):
                assert seal(program, "--out", "seals.jsonl").code == 0
    return folder


@pytest.fixture
def sealed(tmp_path: Path, template: Path) -> Iterator[Program]:
    """Return a program whose log has the rows of tests/unit/sealed.py, and two seals of its own."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / "clearlift.db", isolation_level=None)) as raw:
        yield Program(tmp_path, raw)


def seal(program: Program, *arguments: str, key: str = SEED) -> Ended:
    return program.run("audit", "seal", *arguments, AUDIT_SIGNING_KEY=key)


def verify(program: Program, *arguments: str) -> Ended:
    return program.run("audit", "verify", *arguments, "--json", AUDIT_PUBLIC_KEY=PUBLIC)


def named(ended: Ended) -> Sequence[tuple[int, str]]:
    assert ended.code == (6 if ended.json["violations"] else 0), ended.err
    return [(each["position"], each["rule"]) for each in ended.json["violations"]]


def test_a_sound_log_is_proven_up_to_the_last_seal(sealed: Program) -> None:
    replayed = sealed.run("replay", "--json").json["digest"]

    ended = verify(sealed, "--seals", "seals.jsonl")

    assert named(ended) == []
    assert (ended.json["position"], ended.json["seals"], ended.json["newer"]) == (9, 2, 0)
    assert ended.json["log_digest"] == replayed


def test_nothing_new_makes_no_seal_and_json_prints_each_as_it_is_kept(program: Program) -> None:
    program.seed.add_entry(LOG[0])

    first, again = (seal(program, "--json", "--out", "seals.jsonl") for _ in range(2))

    assert first.out == (program.folder / "seals.jsonl").read_text()
    assert [row["seal"] + "\n" for row in program.rows("audit_seals")] == [first.out]
    assert (again.code, again.out) == (0, "")
    assert "nothing new" in seal(program).out


def test_an_export_and_its_seals_prove_themselves_without_a_database(sealed: Program) -> None:
    sealed.run("audit", "export", "--out", "log.jsonl")
    to_stdout = sealed.run("audit", "export")
    elsewhere = sealed.folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("log.jsonl", "seals.jsonl"):
        shutil.move(sealed.folder / name, elsewhere / name)
    (sealed.folder / "clearlift.db").unlink()

    files = ("--log", "elsewhere/log.jsonl", "--seals", "elsewhere/seals.jsonl")
    ended = sealed.run("audit", "verify", *files, "--public-key", PUBLIC, "--config", "nowhere")

    assert ended.code == 0, ended.err
    assert ended.out.startswith("proven up to position 9, sealed at 2026-10-10T12:00:00")
    assert to_stdout.out == (elsewhere / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["UPDATE outbox SET data = '{}' WHERE position = 6"], (6, "row_changed")),
        (["DELETE FROM outbox WHERE position = 3"], (3, "row_missing")),
        (["DELETE FROM outbox WHERE position > 7"], (8, "row_missing")),
        (
            [
                "UPDATE outbox SET position = -position WHERE position IN (2, 6)",
                "UPDATE outbox SET position = 6 WHERE position = -2",
                "UPDATE outbox SET position = 2 WHERE position = -6",
            ],
            (2, "row_changed"),
        ),
        (["DELETE FROM audit_seals WHERE number = 1"], (1, "seal_missing")),
        (["DELETE FROM audit_seals"], (1, "seal_missing")),
        (["UPDATE audit_seals SET seal = '{' WHERE number = 2"], (5, "seal_unreadable")),
        (
            [
                "UPDATE audit_seals SET number = -number",
                "UPDATE audit_seals SET number = 3 + number",
            ],
            (1, "seal_unreadable"),
        ),
        (
            ["UPDATE audit_seals SET seal = replace(seal, '\"events\":9', '\"events\":8')"],
            (5, "seal_signature"),
        ),
        (["UPDATE audit_seals SET position = 8 WHERE number = 2"], (5, "seal_unreadable")),
    ],
)
def test_what_was_done_to_the_database_is_named(
    sealed: Program, statements: Sequence[str], expected: tuple[int, str]
) -> None:
    for statement in ("PRAGMA ignore_check_constraints = ON", *UNLOCK, *statements):
        sealed.tamper(statement)

    found = named(verify(sealed))
    [run] = sealed.run("runs", "--command", "audit verify", "--json").lines[:-1]

    assert found[0] == expected
    assert run["outcome"] == "violated"


def test_a_log_and_seals_that_were_cut_together_are_seen_by_the_file(sealed: Program) -> None:
    for statement in (
        *UNLOCK,
        "DELETE FROM outbox WHERE position > 4",
        "DELETE FROM audit_seals WHERE number = 2",
        "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'audit_seals'",
    ):
        sealed.tamper(statement)

    alone, beside = verify(sealed), verify(sealed, "--seals", "seals.jsonl")
    goes_on = seal(sealed, "--out", "seals.jsonl")

    assert named(alone) == []
    assert named(beside) == [(5, "seal_missing"), (5, "row_missing")]
    assert goes_on.code == 6
    assert "position 5: seal 2 of the file is not in the database" in goes_on.said[-1]


def test_seals_made_anew_by_somebody_else_are_not_those_of_the_file(sealed: Program) -> None:
    for statement in (*UNLOCK, "DELETE FROM audit_seals", "DELETE FROM sqlite_sequence"):
        sealed.tamper(statement)
    seal(sealed, key=OTHER)

    alone, beside = verify(sealed), verify(sealed, "--seals", "seals.jsonl")

    assert named(alone) == [(1, "seal_signature")]
    assert named(beside)[0] == (1, "seal_differs")
    assert beside.json["position"] == 9  # By the file's.


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("truncated at a line", (8, "row_missing")),
        ("truncated in a line", (8, "row_unreadable")),
        ("no JSON", (3, "row_unreadable")),
        ("another column", (3, "row_unreadable")),
        ("two lines swapped", (3, "row_missing")),
        ("a line twice", (4, "row_changed")),
        ("empty", (1, "row_missing")),
    ],
)
def test_what_was_done_to_an_export_is_named(
    sealed: Program, log: str, expected: tuple[int, str]
) -> None:
    lines = [encoded(row).decode() for row in LOG]
    damaged = {
        "truncated at a line": lines[:7],
        "truncated in a line": [*lines[:7], lines[7][:99]],
        "no JSON": [*lines[:2], "{\n", *lines[3:]],
        "another column": [*lines[:2], lines[2].replace("{", '{"x":1,', 1), *lines[3:]],
        "two lines swapped": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "a line twice": [*lines[:3], lines[2], *lines[3:]],
        "empty": [],
    }[log]
    (sealed.folder / "log.jsonl").write_text("".join(damaged))

    found = named(verify(sealed, "--log", "log.jsonl", "--seals", "seals.jsonl"))

    assert found[0] == expected


def test_what_was_done_to_a_file_of_seals_is_named(program: Program) -> None:
    def found(*seals: str) -> tuple[int, str]:
        (program.folder / "seals.jsonl").write_text("".join(seals))
        return named(verify(program, "--log", "log.jsonl", "--seals", "seals.jsonl"))[0]

    folder = Path(__file__).parents[1] / "unit" / "golden" / "seals_v1"
    shutil.copy(folder / "log.jsonl", program.folder)
    a, b, c = (folder / "seals.jsonl").read_text().splitlines(keepends=True)

    assert found(a, c) == (5, "seal_missing")
    assert found(b, a, c) == (1, "seal_missing")
    assert found(a, b, c[:-9]) == (6, "seal_unreadable")
    assert found(a, "[]\n", c) == (5, "seal_unreadable")
    assert found(a, b.replace("run-1", "run-2"), c) == (5, "seal_signature")


def test_half_a_line_that_a_crash_left_is_replaced_and_missed_seals_are_added(
    sealed: Program,
) -> None:
    file = sealed.folder / "seals.jsonl"
    whole = file.read_text()
    first = whole.index("\n") + 1
    file.write_text(whole[: first + 50])

    ended = seal(sealed, "--out", "seals.jsonl")

    assert ended.code == 0
    assert file.read_text() == whole


def test_a_log_that_is_not_as_sealed_is_not_sealed_any_further(sealed: Program) -> None:
    for statement in (*UNLOCK, "UPDATE outbox SET run_id = 'x' WHERE position = 9"):
        sealed.tamper(statement)

    ended = seal(sealed)

    assert ended.code == 6
    assert ended.said[-1].startswith("position 9: the row is not the one of seal 2")
    assert [run["outcome"] for run in sealed.rows("runs")][-1] == "violated"
    assert len(sealed.rows("audit_seals")) == 2


def test_without_keys_or_seals_it_says_what_to_do(program: Program) -> None:
    no_key = program.run("audit", "seal")
    no_public_key = program.run("audit", "verify")
    no_seal = program.run("audit", "verify", AUDIT_PUBLIC_KEY=PUBLIC)
    wrong = program.run("audit", "verify", "--public-key", "x")
    no_file = verify(program, "--log", "nowhere", "--seals", "nowhere")

    assert [no_key.code, no_public_key.code, no_seal.code, wrong.code] == [4, 4, 7, 4]
    assert "audit keygen --out FILE" in no_key.said[-1]
    assert "AUDIT_PUBLIC_KEY is not set" in no_public_key.said[-1]
    assert (no_file.code, "No such file" in no_file.said[-1]) == (4, True)


def test_a_key_made_here_seals_here_and_an_export_replaces_no_file(program: Program) -> None:
    made = program.run("audit", "keygen", "--out", "key", "--json")
    public = json.loads(made.out)["public_key"]
    program.seed.add_entry(LOG[0])

    sealing = program.run("audit", "seal", AUDIT_SIGNING_KEY_FILE="key")
    proven = program.run("audit", "verify", "--public-key", f"{PUBLIC},{public}")
    (program.folder / "log.jsonl").write_text("older")
    export = program.run("audit", "export", "--out", "log.jsonl")

    assert (made.code, sealing.code, proven.code) == (0, 0, 0)
    assert (export.code, (program.folder / "log.jsonl").read_text()) == (4, "older")
    assert (program.folder / "key").read_text().strip() not in made.out + sealing.err
