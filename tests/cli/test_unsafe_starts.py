"""An unsafe start is refused or warned of, with the remedy, and never says the secret again."""

from pathlib import Path

import click
import pytest

from clearlift_adapters.cli import starting
from clearlift_adapters.cli.arguments import refuse_secrets
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.clock import FixedClock
from clearlift_engine.errors import ConfigurationError
from tests.cli.program import KEY, Program


def written(folder: Path, mode: int) -> str:
    """Return a file that holds the key, with a mode."""
    file = folder / "key"
    file.write_text(KEY)
    file.chmod(mode)
    return str(file)


def test_a_secret_that_others_can_read_is_warned_of(program: Program) -> None:
    file = written(program.folder, 0o644)

    warned = program.run("tick", ENCRYPTION_KEY_FILE=file)
    Path(file).chmod(0o640)
    well = program.run("tick", ENCRYPTION_KEY_FILE=file)

    assert (warned.code, well.code) == (0, 0)
    assert "has mode 0644: it is readable by every user of this machine" in warned.said[0]
    assert f'"do":"chmod o-rwx {file}"' in warned.err
    assert "every user" not in well.err


def test_a_configuration_that_others_can_write_is_warned_of(program: Program) -> None:
    file = program.folder / "clearlift.toml"
    file.write_text("batch_size = 7\n")
    file.chmod(0o666)

    warned = program.run("relay", "--drain")

    assert "decides where tokens are sent" in warned.said[0]


@pytest.mark.parametrize("command", ["tick", "relay --drain"])
def test_a_time_of_long_ago_is_warned_of_where_somebody_has_set_it(
    program: Program, command: str
) -> None:
    ended = program.run(*command.split(), CLEARLIFT_NOW="1970-01-02T00:00:00Z")

    assert ended.code == 0
    assert ended.said[0].startswith("CLEARLIFT_NOW says 1970-01-02T00:00:00.000Z, which is long")
    assert '"do":"unset CLEARLIFT_NOW"' in ended.err


def test_a_machine_that_does_not_know_the_time_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "SystemClock", lambda: FixedClock(0))

    with pytest.raises(ConfigurationError, match="set the clock, and let NTP keep it"):
        starting.refuse_unsafe(Flags({}))


def test_a_disk_that_is_not_synced_stops_the_start(program: Program) -> None:
    # The loader complains of a library that is not there, and goes on.
    ended = program.run("tick", LD_PRELOAD="libeatmydata.so")

    assert ended.code == 4
    assert "unset LD_PRELOAD" in ended.err


@pytest.mark.parametrize(
    "argument",
    [
        *(f"--encryption-key={KEY}", "--encryption_key", "-google-client-secret", "--api-key"),
        *(
            "--access-token",
            "--serve-token",
            "--refresh_token=x",
            "--password",
            "AUDIT_SIGNING_KEY=x",
        ),
        *("CLOUDFLARE_API_TOKEN=x", "ACME_CLIENT_SECRET=x"),
    ],
)
def test_what_is_named_like_a_secret_is_refused_unread(argument: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        refuse_secrets(["tick", argument, KEY], {})

    assert "a secret stands in the arguments" in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "argument",
    [
        *("--access-token-file", "--refresh-token-file=f", "--public-key", "tick", "--reason"),
        *("the secret of success", "ENCRYPTION_KEY_FILE", "a-google-secret", KEY, "--database"),
    ],
)
def test_what_only_sounds_like_one_is_not(argument: str) -> None:
    refuse_secrets(["connections", argument], {"PATH": argument, "TOKEN": argument})


def test_a_secret_is_refused_wherever_it_stands_and_wherever_it_comes_from(
    program: Program,
) -> None:
    file = written(program.folder, 0o600)

    from_environment = program.run("tick", KEY, ENCRYPTION_KEY=KEY)
    from_file = program.run("pause", "c", "--reason", f"it is {KEY}", ENCRYPTION_KEY_FILE=file)

    for ended in (from_environment, from_file):
        assert ended.code == 2
        assert "a secret stands in the arguments" in ended.err
        assert KEY not in ended.err
    assert not program.rows("runs")
