"""Commands that are told can be pasted into a shell, whatever an id holds."""

import shutil
import subprocess

import pytest

from clearlift_engine.advice import command, quoted
from tests.given import ODD_IDS


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
