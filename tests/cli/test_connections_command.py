"""`connections` as a process: tokens go in by stdin or file, encrypted, and never come out."""

import pytest

from clearlift_adapters.cipher import FieldCipher
from tests.cli.program import KEY, Program

ADD = ("connections", "add", "google", "--organization", "org", "--account-id", "7")


def opened(program: Program, connection_id: str) -> tuple[str | None, str | None]:
    """Return the tokens that a connection's row holds, decrypted."""
    row = program.seed.row("platform_connections", connection_id)
    cipher = FieldCipher(KEY)
    access, refresh = row["credentials_encrypted"], row["refresh_token_encrypted"]
    return (
        cipher.open(access, connection_id=connection_id, column="credentials_encrypted"),
        refresh
        and cipher.open(refresh, connection_id=connection_id, column="refresh_token_encrypted"),
    )


def test_tokens_come_from_two_lines_of_stdin(program: Program) -> None:
    ended = program.run(
        *ADD,
        *("--expires-at", "2026-10-10T14:00:00+01:00", "--scopes", "a,b", "--interval", "60"),
        stdin="geheim-1\ngeheim-2\n",
        ENCRYPTION_KEY=KEY,
    )

    row = program.seed.row("platform_connections", "org-google-7")
    assert (ended.code, ended.out) == (0, "added org-google-7\n")
    assert "geheim" not in ended.err
    assert opened(program, "org-google-7") == ("geheim-1", "geheim-2")
    assert (row["expires_at"], row["scopes"]) == ("2026-10-10T13:00:00.000Z", '["a","b"]')
    assert (row["connected_at"], row["is_active"]) == ("2026-10-10T12:00:00.000Z", 1)
    assert program.rows("connection_settings") == [
        {"connection_id": "org-google-7", "sync_interval": 60}
    ]


def test_adding_again_is_reconnecting(program: Program) -> None:
    program.run(*ADD, stdin="geheim-1\ngeheim-2\n", ENCRYPTION_KEY=KEY)
    (program.folder / "token").write_text("geheim-3\n", encoding="utf-8")

    ended = program.run(*ADD, "--json", "--access-token-file", "token", ENCRYPTION_KEY=KEY)

    assert ended.json == {"id": "org-google-7", "outcome": "reconnected"}
    assert opened(program, "org-google-7") == ("geheim-3", None)


def test_what_a_reconnect_takes_away_is_said(program: Program) -> None:
    expires = ("--expires-at", "2026-10-10T14:00:00Z")
    program.run(*ADD, *expires, stdin="geheim-1\ngeheim-2\n", ENCRYPTION_KEY=KEY)

    whole = program.run(*ADD, *expires, stdin="geheim-1\ngeheim-2\n", ENCRYPTION_KEY=KEY)
    part = program.run(*ADD, stdin="geheim-3", ENCRYPTION_KEY=KEY)
    again = program.run(*ADD, stdin="geheim-4", ENCRYPTION_KEY=KEY)

    [_, refresh, expiry] = part.said
    assert refresh.startswith("no refresh token given: the stored one was removed; ")
    assert expiry.startswith("no expiry given: the stored one was removed; ")
    assert len(whole.said) == len(again.said) == 1
    assert program.seed.row("platform_connections", "org-google-7")["expires_at"] is None


@pytest.mark.parametrize(
    ("platform", "hint"),
    [
        ("google-ads", "neither built in nor declared: did you mean 'google'?"),
        ("myspace", "neither built in nor declared; its tokens cannot be refreshed"),
    ],
)
def test_a_platform_that_nobody_can_refresh_is_added_with_a_warning(
    program: Program, platform: str, hint: str
) -> None:
    ended = program.run(*ADD[:2], platform, *ADD[3:], stdin="geheim", ENCRYPTION_KEY=KEY)

    assert (ended.code, ended.out) == (0, f"added org-{platform}-7\n")
    assert hint in ended.said[-1]


@pytest.mark.parametrize(("slip", "meant"), [("gogle", "google"), ("Stripe", "stripe")])
def test_a_slip_in_a_platform_is_refused_unless_it_is_declared(
    program: Program, slip: str, meant: str
) -> None:
    acme = (
        'token_url = "https://acme.example/token"\nclient_id = "us"\nclient_secret_env = "ACME"\n'
    )
    arguments = (*ADD[:2], slip, *ADD[3:])

    refused = program.run(*arguments, stdin="geheim", ENCRYPTION_KEY=KEY)
    (program.folder / "clearlift.toml").write_text(f"[providers.{slip}]\n{acme}", "utf-8")
    declared = program.run(*arguments, stdin="geheim", ENCRYPTION_KEY=KEY)

    assert refused.code == 2
    assert f"did you mean '{meant}'?" in " ".join(refused.err.split())
    assert (declared.code, declared.out) == (0, f"added org-{slip}-7\n")


@pytest.mark.parametrize("place", [2, 4, 6])
def test_a_part_of_the_id_that_is_blank_is_wrong_usage(program: Program, place: int) -> None:
    arguments = [*ADD[:place], " ", *ADD[place + 1 :]]

    ended = program.run(*arguments, stdin="geheim", ENCRYPTION_KEY=KEY)

    assert (ended.code, program.rows("platform_connections")) == (2, [])
    assert "it is empty" in ended.err


def test_tokens_may_be_a_json_object(program: Program) -> None:
    tokens = '{"access_token": "geheim-1", "refresh_token": "geheim-2"}'

    program.run(*ADD, stdin=tokens, ENCRYPTION_KEY=KEY)

    assert opened(program, "org-google-7") == ("geheim-1", "geheim-2")


def test_what_is_no_pair_of_tokens_is_refused_without_being_repeated(program: Program) -> None:
    unknown = '{"access_token": "geheim", "refreshToken": "geheim"}'
    for stdin in ("", "geheim\ngeheim\ngeheim", '{"geheim": 1}', unknown, "geheim" * 12_000):
        ended = program.run(*ADD, stdin=stdin, ENCRYPTION_KEY=KEY)

        assert ended.code == 2
        assert "stdin" in ended.err
        assert "geheim" not in ended.err
    assert program.rows("platform_connections") == []


def test_without_a_key_nothing_is_stored(program: Program) -> None:
    ended = program.run(*ADD, stdin="geheim")

    assert ended.code == 4
    assert "ENCRYPTION_KEY is not set" in ended.said[0]
    assert program.rows("platform_connections") == []


def test_the_list_says_where_each_stands_and_when_it_is_due(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", last_synced_at="2026-10-10 11:30:00")

    listed = program.run("connections", "list", "--json")
    read = program.run("connections", "list")

    states = [(line["id"], line["due"], line["blocked"]) for line in listed.lines]
    assert states == [("a", True, None), ("b", False, "fresh")]
    assert listed.lines[1]["blocked_until"] == "2026-10-10T12:30:00.000Z"
    assert "access of a" not in listed.out + read.out
    assert [line.split("\t")[2:4] for line in read.out.splitlines()] == [
        ["due", "waits for"],
        ["now", "-"],
        ["2026-10-10T12:30:00.000Z", "its interval has not passed"],
    ]


def test_one_connection_is_shown_and_given_an_interval(program: Program) -> None:
    program.seed.add_connection("it's a", last_synced_at="2026-10-10 11:30:00")

    program.run("connections", "set", "it's a", "--interval", "60")
    own = program.run("connections", "show", "it's a", "--json")
    unset = program.run("connections", "set", "it's a", "--interval", "default")
    shown = program.run("connections", "show", "it's a")

    assert (own.json["interval_s"], own.json["due"]) == (60, True)
    assert own.json["has_refresh_token"] is True
    assert unset.out == "it's a: the default interval\n"
    assert "interval_s\t3600" in shown.out.splitlines()
    assert "refresh of" not in own.out + shown.out


def test_a_connection_that_is_not_there_is_wrong_usage(program: Program) -> None:
    shown = program.run("connections", "show", "nobody")
    changed = program.run("connections", "set", "nobody", "--interval", "60")

    assert (shown.code, changed.code) == (2, 2)
    assert "there is no connection 'nobody': see `clearlift-cron connections list`" in shown.err
    assert program.rows("connection_settings") == []
