"""The command line itself: what it offers, and how it refuses what it does not."""

import pytest

from clearlift_adapters.cli.commands import run
from tests.cli.program import Program

COMMANDS = (
    "migrate",
    "tick",
    "relay",
    "replay",
    "connections",
    "connections add",
    "connections list",
    "connections show",
    "connections set",
    "queue",
    "queue list",
    "queue depth",
    "queue pull",
    "queue ack",
    "queue retry",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_takes_the_options_of_all(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*command.split(), "--help"])

    text = capsys.readouterr().out
    assert code == 0
    assert f"Usage: clearlift-cron {command} [OPTIONS]" in text
    for option in ("--database", "--queue", "--config", "--json", "--verbose", "--quiet"):
        assert option in text


def test_the_program_names_its_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["--help"])

    text = capsys.readouterr().out
    assert code == 0
    assert all(command in text for command in COMMANDS if " " not in command)
    assert "Exit codes" in text


@pytest.mark.parametrize("group", ["", "connections", "queue"])
def test_no_command_is_described_in_half_a_sentence(
    group: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    run([*group.split(), "--help"])

    commands = capsys.readouterr().out.partition("Commands:")[2]
    assert commands
    assert "..." not in commands


def test_demo_offers_nothing_that_it_would_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    run(["demo", "--help"])

    text = capsys.readouterr().out
    assert not [option for option in ("--database", "--queue", "--config") if option in text]


def test_quiet_is_about_the_log_and_results_are_still_printed(program: Program) -> None:
    ended = program.run("queue", "depth", "-q", CLEARLIFT_NO_SUCH="1")

    assert (ended.out, ended.err) == ("0 messages; 0 dead letters\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "sing",
        "tick --loud",
        "tick --limit 0",
        "tick --deadline 0",
        "tick extra",
        "relay --interval soon",
        "replay --as-of yesterday",
        "replay --rebuild some-connection",
        "replay --events",
        "replay some-connection --events --as-of 2026-10-10T12:00:00Z",
        "connections",
        "connections add google",
        "connections set some-connection",
        "queue ack",
        "tick --deadline nan",
        "tick --deadline inf",
        "relay --interval nan",
        "status --watch nan",
        "queue pull --visibility nan",
        "queue pull --visibility inf",
        "queue retry m --delay nan",
        "jobs --recent 9223372036854775808",
        "failures --limit 9223372036854775808",
        "failures --repeated 9223372036854775808",
        "queue list --limit 9223372036854775808",
        "connections set some-connection --interval 9223372036854775808",
        f"connections set some-connection --interval {'9' * 5000}",
        "connections add google --interval 9223372036854775808",
        "status --at 0001-01-01T00:00:00Z",
        "status --at 9999-12-31T23:59:59Z",
        "explain some-connection --at 0001-01-01T00:00:00Z",
        "replay --as-of 9999-12-31T23:59:59Z",
    ],
)
def test_wrong_usage_is_code_2_and_goes_to_stderr(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(arguments.split())

    streams = capsys.readouterr()
    assert code == 2
    assert "Usage: clearlift-cron" in streams.err
    assert not streams.out


@pytest.mark.parametrize(
    ("mistyped", "meant"), [("statsu", "status"), ("connections lst", "list"), ("sing", None)]
)
def test_a_mistyped_command_is_refused_with_the_one_that_is_meant(
    mistyped: str, meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(mistyped.split())

    said = capsys.readouterr().err
    assert code == 2
    assert ("Did you mean" in said) is (meant is not None)
    assert meant is None or f"Did you mean '{meant}'?" in said


@pytest.mark.parametrize("arguments", ["queue list --limit 1000000000", "failures --since 999999d"])
def test_as_much_as_can_be_asked_for_can_be_answered(program: Program, arguments: str) -> None:
    assert program.run(*arguments.split()).code == 0


@pytest.mark.parametrize("now", ["9999-12-31T23:59:00Z", "0001-01-01T00:00:00Z"])
def test_a_clock_set_to_where_no_days_can_be_counted_is_refused(program: Program, now: str) -> None:
    ended = program.run("status", CLEARLIFT_NOW=now)

    assert ended.code == 4
    assert "it must be an ISO 8601 time from 1970 to 8999" in ended.said[0]
    assert program.run("health", CLEARLIFT_NOW=now).code in (4, 7)


def test_tokens_are_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["connections", "add", "google", "--access-token", "geheim"])

    assert code == 2
    assert "geheim" not in capsys.readouterr().err


def test_options_may_stand_before_the_command_or_after_it(program: Program) -> None:
    (program.folder / "clearlift.db").rename(program.folder / "other.db")

    before = program.run("--database", "sqlite:///other.db", "--json", "queue", "depth")
    between = program.run("queue", "--json", "--database", "sqlite:///other.db", "depth")
    after = program.run("queue", "depth", "--database", "sqlite:///other.db", "--json")

    assert before == between == after
    assert after.json == {"messages": 0, "dead": 0, "oldest_at": None, "oldest_age_s": None}


def test_a_reader_that_leaves_early_is_no_error(program: Program) -> None:
    program.seed.add_connection("a")
    process = program.start("connections", "list", "--json")
    assert process.stdout is not None
    assert process.stderr is not None

    process.stdout.close()

    assert process.wait(60) == 141
    with process.stderr as err:
        assert err.read() == ""
