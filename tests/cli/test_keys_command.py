"""`keys`: what opens with which key, and the way from an old key to a new one."""

from collections.abc import Sequence
from typing import Final

import msgspec
import pytest

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.credentials import Column, StoredCredentials
from tests.cli.program import KEY, Ended, Program

OLD: Final = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="  # Bytes 32 to 63.
GONE: Final = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="  # Bytes 64 to 95.
BOTH: Final = {"ENCRYPTION_KEY": KEY, "ENCRYPTION_KEY_PREVIOUS": OLD}
NEW_ONLY: Final = {"ENCRYPTION_KEY": KEY}
COUNTS: Final = ("current", "previous", "none", "malformed", "copied", "misplaced")
COLUMNS: Final[Sequence[Column]] = ("credentials_encrypted", "refresh_token_encrypted")


def add(program: Program, connection_id: str, key: str = OLD) -> None:
    cipher = FieldCipher(key)
    program.seed.add_connection(
        connection_id,
        credentials_encrypted=cipher.seal(f"access of {connection_id}"),
        refresh_token_encrypted=cipher.seal(f"refresh of {connection_id}"),
    )


def opened(program: Program, connection_id: str, key: str = KEY) -> list[str]:
    row, cipher = program.seed.row("platform_connections", connection_id), FieldCipher(key)
    return [cipher.open(row[each], connection_id=connection_id, column=each) for each in COLUMNS]


def counts(ended: Ended) -> tuple[int, ...]:
    return tuple(ended.json[name] for name in COUNTS)


def held(program: Program, connection_id: str) -> StoredCredentials:
    row = program.seed.row("platform_connections", connection_id)
    return StoredCredentials(connection_id, *(row[each] for each in COLUMNS))


def swap(program: Program) -> None:
    """Give each of a and b what the other had, as who writes the database may."""
    a, b = held(program, "a"), held(program, "b")
    for name, other in (("a", b), ("b", a)):
        program.seed.update_connection(
            name, credentials_encrypted=other.access, refresh_token_encrypted=other.refresh
        )


def test_verify_says_how_many_columns_open_with_which_key(program: Program) -> None:
    add(program, "new", KEY)
    add(program, "old")
    program.seed.add_connection("none", credentials_encrypted=None, refresh_token_encrypted="")

    ended = program.run("keys", "verify", "--json", **BOTH)

    assert (ended.code, counts(ended)) == (7, (2, 2, 0, 0, 0, 0))
    assert (ended.json["connections"], ended.json["problems"]) == (3, [])


def test_verify_names_what_cannot_be_used_and_is_not_satisfied(program: Program) -> None:
    add(program, "gone", GONE)
    add(program, "odd")
    program.seed.update_connection("odd", refresh_token_encrypted="no ciphertext")
    add(program, "copy")
    add(program, "victim")
    program.seed.update_connection("copy", refresh_token_encrypted=held(program, "victim").refresh)

    ended = program.run("keys", "verify", "--json", **BOTH)

    assert (ended.code, counts(ended)) == (7, (0, 3, 2, 1, 2, 0))
    found = {(each["connection_id"], each["standing"]) for each in ended.json["problems"]}
    assert found == {
        ("gone", "none"),
        ("odd", "malformed"),
        ("copy", "copied"),
        ("victim", "copied"),
    }


def test_verify_tells_a_person_in_a_sentence_and_a_line_for_each(program: Program) -> None:
    add(program, "gone", GONE)

    ended = program.run("keys", "verify", **BOTH)

    assert ended.out.splitlines() == [
        (
            "1 connection: 0 columns under the current key, 0 under a previous one, 2 under none "
            "of them; 0 malformed, 0 copied, 0 misplaced"
        ),
        "connection\tcolumn\tproblem",
        "gone\tcredentials_encrypted\tno key opens it",
        "gone\trefresh_token_encrypted\tno key opens it",
    ]


def test_verify_shows_a_person_only_the_first_of_many(program: Program) -> None:
    for number in range(15):
        add(program, f"gone-{number:02}", GONE)

    ended = program.run("keys", "verify", **NEW_ONLY)

    shown = ended.out.splitlines()
    assert ended.code == 7
    assert len(shown) == 1 + 1 + 20 + 1
    assert shown[-1] == "and 10 columns more; --json names them"


def test_rotate_brings_everything_under_the_new_key_and_the_old_one_can_go(
    program: Program,
) -> None:
    add(program, "a")
    add(program, "b", KEY)
    before = held(program, "b")

    ended = program.run("keys", "rotate", "--json", **BOTH)
    after = program.run("keys", "verify", "--json", **NEW_ONLY)

    assert (ended.code, ended.json["rotated"], ended.json["columns"]) == (0, 1, 2)
    assert opened(program, "a") == ["access of a", "refresh of a"]
    assert held(program, "b") == before
    assert (after.code, counts(after)) == (0, (4, 0, 0, 0, 0, 0))


def test_rotate_is_recorded_with_its_counts_and_a_dry_run_writes_nothing(program: Program) -> None:
    add(program, "a")
    before = held(program, "a")

    dry = program.run("keys", "rotate", "--dry-run", "--json", **BOTH)
    untouched = (held(program, "a"), program.rows("runs"), program.rows("credential_seals"))
    ended = program.run("keys", "rotate", "--json", **BOTH)

    assert untouched == (before, [], [])
    assert (dry.json["run_id"], dry.json["rotated"], dry.json["columns"]) == (None, 1, 2)
    [run] = program.rows("runs")
    assert (run["command"], run["outcome"]) == ("keys rotate", "done")
    assert msgspec.json.decode(run["report"]) == ended.json


def test_rotate_goes_on_where_it_was_left(program: Program) -> None:
    for name in ("a", "b", "c"):
        add(program, name)

    first = program.run("keys", "rotate", "--limit", "2", "--json", **BOTH)
    second = program.run("keys", "rotate", "--json", **BOTH)

    assert (first.json["rotated"], second.json["rotated"]) == (2, 1)
    assert opened(program, "c") == ["access of c", "refresh of c"]


def test_rotate_leaves_what_it_cannot_open_and_the_other_column_is_done(program: Program) -> None:
    add(program, "a")
    program.seed.update_connection("a", refresh_token_encrypted="x" * 70_000)

    ended = program.run("keys", "rotate", "--json", **BOTH)

    row = program.seed.row("platform_connections", "a")
    assert (ended.json["rotated"], ended.json["columns"], ended.json["unreadable"]) == (1, 1, 1)
    assert row["refresh_token_encrypted"] == "x" * 70_000
    cipher = FieldCipher(KEY)
    field = row["credentials_encrypted"]
    assert cipher.open(field, connection_id="a", column=COLUMNS[0]) == "access of a"


def test_rotate_does_not_make_a_swapped_ciphertext_look_like_its_own(program: Program) -> None:
    for name in ("a", "b"):
        add(program, name, GONE)
    sealed = program.run("keys", "rotate", ENCRYPTION_KEY=OLD, ENCRYPTION_KEY_PREVIOUS=GONE)
    swap(program)
    before = held(program, "a")

    ended = program.run("keys", "rotate", "--json", **BOTH)
    after = program.run("keys", "verify", "--json", **BOTH)

    assert (sealed.code, ended.json["rotated"], ended.json["misplaced"]) == (0, 0, 4)
    assert held(program, "a") == before
    assert (after.code, counts(after)) == (7, (0, 0, 0, 0, 0, 4))


def test_dead_grant_is_still_dead_under_the_new_key_and_a_reconnected_one_is_not(
    program: Program,
) -> None:
    program.seed.add_connection(
        "a",
        expires_at="2026-10-10T11:00:00Z",
        credentials_encrypted=FieldCipher(OLD).seal("access"),
        refresh_token_encrypted=FieldCipher(OLD).seal(" "),  # No token: it fails unasked.
    )
    client = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret"}
    program.run("tick", **client, **BOTH)

    rotated = program.run("keys", "rotate", "--json", **BOTH)
    still = program.run("tick", "--json", **client, **NEW_ONLY)
    program.seed.update_connection("a", refresh_token_encrypted=FieldCipher(KEY).seal("new"))
    again = program.run("tick", "--json", "--dry-run", **client, **NEW_ONLY)

    assert program.rows("connection_state")[0]["state"] == "failed"
    assert (rotated.json["rotated"], still.json["due"]) == (1, 0)
    assert "needs_reconnect" not in again.out
    assert '"refreshes":[{"connection_id":"a"' in again.out


def test_rotate_says_what_is_missing(program: Program) -> None:
    without = program.run("keys", "rotate")
    alone = program.run("keys", "rotate", **NEW_ONLY)

    assert (without.code, alone.code) == (4, 0)
    assert any("ENCRYPTION_KEY_PREVIOUS is not set" in said for said in alone.said)


@pytest.mark.parametrize("command", [["verify"], ["verify", "--json"], ["rotate", "--json", "-vv"]])
def test_nothing_of_a_token_or_a_key_is_said_or_recorded(
    program: Program, command: list[str]
) -> None:
    add(program, "a")
    add(program, "gone", GONE)
    sealed = held(program, "a")

    ended = program.run("keys", *command, **BOTH)

    said = ended.out + ended.err + str(program.rows("runs"))
    assert not [each for each in (OLD, KEY, "access of a", "refresh of a") if each in said]
    assert not [each for each in (sealed.access, sealed.refresh) if str(each) in said]
