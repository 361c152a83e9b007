"""The shell completes what the program knows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clearlift_adapters.cli.commands import run

# What bash does when somebody presses Tab behind these words.
PRESS_TAB = """
eval "$(clearlift-cron completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function=$(complete -p clearlift-cron | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" clearlift-cron
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("sta", ["status"]),
        ("connections s", ["set", "show"]),
        ("tick --d", ["--dry-run", "--deadline", "--database"]),
        ("install systemd --relay ", ["service", "tick"]),
    ],
)
def test_bash_completes_commands_options_and_values(words: str, completed: list[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not here")
    beside = str(Path(sys.executable).parent)
    done = subprocess.run(
        [bash, "--norc", "-c", PRESS_TAB, "bash", "clearlift-cron", *words.split(" ")],
        capture_output=True,
        encoding="utf-8",
        env={"PATH": os.pathsep.join((beside, os.environ["PATH"]))},
        timeout=60,
        check=False,
    )

    assert (done.stdout.split(), done.stderr) == (completed, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_asks_the_program_by_its_name(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["completion", shell])

    script = capsys.readouterr().out
    assert code == 0
    assert f"_CLEARLIFT_CRON_COMPLETE={shell}_complete" in script
    assert "clearlift-cron" in script


def test_no_other_shell_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "csh"]) == 2
    assert not capsys.readouterr().out
