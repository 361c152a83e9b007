"""Standard streams that are full or closed: what is to be done is done all the same."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.program import Program

FULL: Final = Path("/dev/full")
TICK: Final = "exec {python} -m clearlift_adapters.cli tick --json {streams}"

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full to write to")


def tick(program: Program, streams: str) -> subprocess.CompletedProcess[str]:
    """Run a tick whose streams a shell has redirected."""
    return subprocess.run(
        ["/bin/sh", "-c", TICK.format(python=sys.executable, streams=streams)],
        capture_output=True,
        encoding="utf-8",
        cwd=program.folder,
        env={**os.environ, "CLEARLIFT_DATABASE": "sqlite:///clearlift.db"},
        check=False,
    )


def test_a_result_that_cannot_be_written_is_said_in_one_line_and_what_was_done_stays(
    program: Program,
) -> None:
    program.seed.add_connection("c", platform="stripe")

    done = tick(program, ">/dev/full")

    [line] = done.stderr.splitlines()
    assert done.returncode == 5
    assert "the result cannot be written: No space left on device; what was done stays" in line
    assert [job["connection_id"] for job in program.seed.rows("sync_jobs")] == ["c"]


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "<&-"])
def test_a_log_that_cannot_be_written_stops_nothing(program: Program, streams: str) -> None:
    program.seed.add_connection("c", platform="google", last_synced_at="no time at all")

    done = tick(program, streams)

    assert done.returncode == 0
    assert '"jobs_created":1' in done.stdout
    assert "Exception ignored" not in done.stderr


def test_a_closed_stdout_leads_nowhere_and_never_into_the_database(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")

    done = tick(program, ">&-")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [job["connection_id"] for job in program.seed.rows("sync_jobs")] == ["c"]


@pytest.mark.parametrize("command", ["--help", "tick --help", "connections --help"])
def test_a_help_that_cannot_be_written_is_a_result_that_cannot_be_written(command: str) -> None:
    shown = f"exec {sys.executable} -m clearlift_adapters.cli {command} >/dev/full"

    done = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "the result cannot be written: No space left on device" in done.stderr
