"""Commands that are told can be pasted into a shell, whatever an id holds."""

import shutil
import subprocess
import tomllib

import msgspec
import pytest

from clearlift_engine.advice import (
    Advice,
    about_block,
    about_failing,
    after_failure,
    command,
    declaring,
    quoted,
    undeclared,
)
from clearlift_engine.events import SyncFailed, encode
from clearlift_engine.machine import State
from clearlift_engine.policy import Blocked
from clearlift_engine.questions import Failing
from tests.given import ODD_IDS
from tests.unit import lives
from tests.unit.lives import NOW_MS

INVALID = msgspec.structs.replace(lives.FAILED, failure_class="invalid")
UNASKED = msgspec.structs.replace(INVALID, provider="acme", code=None, attempts=0)
RETRY = "clearlift-cron retry c"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_shell_reads_every_id_as_it_is() -> None:
    texts = [*ODD_IDS, "a'\n$(b)\\", "-x", "!important `x` $HOME", "\u200fz"]
    words = " ".join(map(quoted, texts))

    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"],
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )

    assert all(map(str.isprintable, map(quoted, texts)))
    assert read.stdout.decode().split("\0")[:-1] == texts


def test_id_that_looks_like_an_option_comes_behind_two_dashes() -> None:
    assert command("retry", "a") == "clearlift-cron retry a"
    assert command("resume", "-x", "--reason TEXT") == ("clearlift-cron resume --reason TEXT -- -x")


@pytest.mark.parametrize(
    ("event", "retry_at", "advice"),
    [
        (
            UNASKED,
            NOW_MS,
            Advice(
                "operator",
                "declare 'acme' in a [providers.acme] table of the configuration file, "
                "then retry it; it is tried again at 2026-10-10T12:00:00.000Z",
                RETRY,
            ),
        ),
        (
            INVALID,
            None,
            Advice("operator", "put right what the message says, then retry it", RETRY),
        ),
        (
            lives.FAILED,
            NOW_MS,
            Advice(
                "nobody",
                "wait until 2026-10-10T12:00:00.000Z, or let the next tick retry it",
                RETRY,
            ),
        ),
        (
            lives.DEAD,
            None,
            Advice(
                "user",
                "its user must connect the account again, and the tick after that serves it; "
                f"only if you know that the grant is good after all: {RETRY}",
                "clearlift-cron timeline c",
            ),
        ),
    ],
    ids=["undeclared", "invalid", "transient", "dead"],
)
def test_failure_says_who_can_mend_it_and_with_which_command(
    event: SyncFailed, retry_at: int | None, advice: Advice
) -> None:
    assert after_failure(encode(event), "c", retry_at) == advice


@pytest.mark.parametrize(("retry_at", "who"), [(NOW_MS, "nobody"), (None, "user")])
def test_failure_that_cannot_be_read_is_told_by_whether_it_is_tried_again(
    retry_at: int | None, who: str
) -> None:
    assert after_failure("{", "c", retry_at).who == who


@pytest.mark.parametrize(
    ("event", "platform"),
    [
        (UNASKED, "acme"),
        (msgspec.structs.replace(UNASKED, attempts=1), None),
        (msgspec.structs.replace(UNASKED, code="401"), None),
        (msgspec.structs.replace(UNASKED, failure_class="permanent"), None),
    ],
)
def test_platform_without_a_provider_is_one_that_nobody_was_asked_for(
    event: SyncFailed, platform: str | None
) -> None:
    assert undeclared(event) == platform


@pytest.mark.parametrize("platform", [*ODD_IDS, 'it\'s "so"', "\\", "\x7f\x00"])
def test_whatever_a_platform_is_called_its_table_is_toml(platform: str) -> None:
    table = (
        declaring(platform).partition(" in a ")[2].removesuffix(" table of the configuration file")
    )

    assert tomllib.loads(table) == {"providers": {platform: {}}}
    assert table.isprintable()


@pytest.mark.parametrize(
    ("platform", "table"),
    [
        ("acme", "[providers.acme]"),
        ("my-shop_2", "[providers.my-shop_2]"),
        ("my shop", '[providers."my shop"]'),
        ("a.b", '[providers."a.b"]'),
        ("größe", '[providers."größe"]'),
        ("", '[providers.""]'),
    ],
)
def test_table_of_a_provider_is_named_as_toml_spells_it(platform: str, table: str) -> None:
    assert f" {table} " in declaring(platform)


@pytest.mark.parametrize(
    ("state", "paused_at", "who", "sentence", "verb"),
    [
        ("failed", NOW_MS, "operator", "resume it when what it was paused for is over", "resume"),
        ("failed", None, "user", "its user must connect the account again", "timeline"),
        ("job_created", None, "nobody", "nothing: it has a job since", "explain"),
        ("enqueued", None, "nobody", "nothing: it has a job since", "explain"),
        ("due", None, "nobody", "nothing: it is tried", "explain"),
        ("refreshing", None, "nobody", "nothing: it is tried", "explain"),
    ],
)
def test_connection_that_failed_is_advised_by_where_it_is_now(
    state: State, paused_at: int | None, who: str, sentence: str, verb: str
) -> None:
    data = encode(lives.DEAD)

    found = about_failing(Failing("c", "google", None, 1, NOW_MS, data, state, None, paused_at))

    assert found.who == who
    assert found.sentence.startswith(sentence)
    words = str(found.command).split()
    assert (words[1], words[-1]) == (verb, "c")


def test_what_is_waited_for_says_until_when_if_that_is_known() -> None:
    until = about_block(Blocked("open_job", NOW_MS), "c")
    ever = about_block(Blocked("open_job"), "c")

    assert until.sentence == ("wait for the consumer until 2026-10-10T12:00:00.000Z at the latest")
    assert ever.sentence == "wait for the consumer"


def test_what_was_just_synced_needs_nobody_and_nothing() -> None:
    advice = about_block(Blocked("fresh", NOW_MS), "c")

    assert (advice.who, advice.command) == ("nobody", None)
    assert advice.sentence.startswith("nothing: ")
