"""Ctrl-C, from the first line of this program on: one line on stderr, and exit code 130.

Python's own way is an exception wherever the program happens to be. In the midst of an import, or
of what the event loop does between two tasks, nobody can make anything of it. So the process ends
where it is, as if it were killed, which it may be at any time; and while a loop runs, its main task
is cancelled, so that what is open is closed: see `stopping.run`. Nothing is imported here, or when
the signal comes, but modules that Python has built in or has loaded by itself.
"""

import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

CODE: Final = 130  # As a shell has it: 128 and the number of the signal.
_TEXT: Final = "interrupted; what was committed stays, and nothing is half-done"


class Interruption(BaseException):
    """A loop was interrupted and is closed. No KeyboardInterrupt: click has a line for those."""


def take() -> None:
    """Let SIGINT end this process at once, unless whoever started it wants it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, at_once)


def ignore() -> None:
    """Let SIGINT change nothing any more: all is done, and Python is taking itself apart."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def at_once(_number: int, _frame: object) -> None:
    """End this process: a handler of signals."""
    with suppress(OSError):
        os.write(2, line().encode())
    os._exit(CODE)


def line() -> str:
    """Return what to say on stderr: what the log would make of it, without loading the log."""
    if os.isatty(2):
        return f"{_TEXT}\n"
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f'{{"at":"{at}","level":"error","event":"{_TEXT}"}}\n'


def say() -> None:
    """Say it where stderr leads to now."""
    with suppress(OSError):
        sys.stderr.write(line())
        sys.stderr.flush()


@contextmanager
def as_an_exception() -> Generator[None]:
    """Let SIGINT raise KeyboardInterrupt: what asks for a secret has to turn the echo on again."""
    before = signal.getsignal(signal.SIGINT)
    if before is at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is at_once:
            signal.signal(signal.SIGINT, before)
