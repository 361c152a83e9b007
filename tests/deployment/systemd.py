"""systemd's own judgement: whether units are right, and when a calendar elapses."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

_ELAPSE: Final = re.compile(r"(?:Next elapse|Iter\. #\d+): \w+ ([\d-]+ [\d:]+) UTC")


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run systemd-analyze, or skip the test where it is not; CI must have it."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if "CI" in os.environ:
            pytest.fail("CI must have systemd-analyze (Debian's package systemd)")
        pytest.skip("systemd-analyze is not here (Debian's package systemd has it)")
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"},
        timeout=60,
        check=False,
    )


def elapses(calendars: Sequence[str], after_ms: int, times: int) -> list[int]:
    """Return when a timer with these lines elapses next, in ms."""
    base = datetime.fromtimestamp(after_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    done = analyze("calendar", f"--iterations={times}", f"--base-time={base}", *calendars)
    assert done.returncode == 0, done.stderr
    found = {datetime.fromisoformat(text) for text in _ELAPSE.findall(done.stdout)}
    return sorted(round(at.replace(tzinfo=UTC).timestamp() * 1000) for at in found)[:times]


def verified(units: Sequence[Path]) -> str:
    """Return what `systemd-analyze verify` has to say; nothing, if all is well."""
    done = analyze("verify", "--man=no", *map(str, units))
    return done.stdout + done.stderr if done.returncode or done.stderr else ""
