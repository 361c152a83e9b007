"""Ctrl-C at any moment: exit code 130 or a result, one line at most, and never a traceback.

What Python does before it runs our first line is not ours, so the process says when it is there.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Final

import pytest

from clearlift_adapters.cli import interrupt
from tests.cli.program import KEY, Ended, Program, environment_of

BEGUN: Final = (
    "import os, sys; from clearlift_adapters import cli; cli.interrupt.take(); "
    "os.close(int(sys.argv.pop(1))); cli.main()"
)
MOMENTS: Final = 12
LAST_S: Final = 0.5  # By then each of these has ended, or is about to.


def interrupted(program: Program, after_s: float, *arguments: str) -> Ended:
    """Run one command line, and send SIGINT so many seconds after our first line."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BEGUN, str(writing), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=program.folder,
        env=environment_of({"ENCRYPTION_KEY": KEY}),
        pass_fds=(writing,),
    )
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


@pytest.mark.parametrize(
    "command",
    [("replay",), ("status",), ("tick", "--json")],
    ids=" ".join,
)
def test_an_interrupt_at_any_moment_is_a_line_at_most(
    program: Program, command: tuple[str, ...]
) -> None:
    for number in range(20):
        program.seed.add_connection(f"conn-{number}")

    ends = [interrupted(program, LAST_S * moment / MOMENTS, *command) for moment in range(MOMENTS)]

    assert {end.code for end in ends} <= {0, 130}
    assert ends[0].code == 130
    for end in ends:
        assert "Traceback" not in end.err
        if end.code == interrupt.CODE:
            assert end.said[-1].startswith("interrupted; what was committed stays")
