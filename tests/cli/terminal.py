"""The program as somebody sees it who sits before a terminal: both streams on a pty."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from tests.cli.program import COMMAND, Program, environment_of

ROWS, COLUMNS = 40, 120


class Shown(NamedTuple):
    """How a process ended, and all that it wrote to its terminal, as bytes come."""

    code: int
    screen: str


def on_terminal(
    program: Program,
    *arguments: str,
    until: str | None = None,
    signals: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Shown:
    """Run one command line on a terminal; once it shows `until`, send it `signals`."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=program.folder,
        env={"TERM": "xterm-256color", **environment_of(environment or {})},
    )
    os.close(slave)
    with closing(os.fdopen(master, "rb", buffering=0)) as screen:
        seen = b""
        while part := _read(screen.fileno()):
            seen += part
            if until is not None and until.encode() in seen:
                process.send_signal(signals)
                until = None
    return Shown(process.wait(60), seen.decode())


def _read(terminal: int) -> bytes:
    """Return what comes next; nothing once nobody has the other end (Linux calls that an error)."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
