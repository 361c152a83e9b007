"""The exit codes, and the one place where an exception becomes one.

Nothing else in the program catches whatever comes, but where a trace is made, which may stop no
run. A message is one line; the traceback is for those who ask with -vv. Both pass through the log,
which takes out what looks like a secret.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from traceback import format_exception
from typing import Final, cast

import click

from clearlift_adapters.cli import interrupt, output
from clearlift_adapters.cli.options import Flags
from clearlift_engine.errors import ConfigurationError, UnavailableError

DONE: Final = 0
UNEXPECTED: Final = 1
WRONG_USAGE: Final = 2
MANY_FAILED: Final = 3
MISCONFIGURED: Final = 4
UNREACHABLE: Final = 5
VIOLATED: Final = 6
UNSATISFIED: Final = 7

_MESSAGE_MAX: Final = 500
_DESCRIPTORS: Final = 24  # What a command and its ten requests at once need.


def guarded(work: Callable[[], object], flags: Flags) -> int:
    """Do `work`; return its exit code, or the one of what it raised."""
    try:
        _expect_descriptors()
        code = work()
        output.flush()
    except click.ClickException as exc:
        exc.show()
        return WRONG_USAGE
    except (interrupt.Interruption, KeyboardInterrupt, click.Abort):
        interrupt.say()
        return interrupt.CODE
    except Exception as exc:  # noqa: BLE001  the end of the line: everything becomes a code here
        return _reported(exc, flags)
    return code if isinstance(code, int) else DONE


async def survived(work: Callable[[], Awaitable[int]], flags: Flags) -> int:
    """Do what a process does again and again; return its exit code, whatever it raised."""
    try:
        return await work()
    except Exception as exc:  # noqa: BLE001  the next time it may go well
        return _reported(exc, flags)


def _expect_descriptors() -> None:
    """See that files and sockets can be opened: without, whatever comes next fails, and oddly.

    Raises:
        UnavailableError: this process, or the machine, has too few descriptors left.
    """
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY))
        opened += (os.dup(opened[0]) for _ in range(_DESCRIPTORS - 1))
    except OSError as exc:
        said = f"too few files can be opened: {exc.strerror}; raise the limit (ulimit -n 1024)"
        raise UnavailableError(said) from exc
    finally:
        for descriptor in opened:
            os.close(descriptor)


def code_of(exc: BaseException) -> int:
    """Return the exit code for an exception, or for what is in a group of them."""
    causes = list(_leaves(exc))
    if all(isinstance(cause, ConfigurationError) for cause in causes):
        return MISCONFIGURED
    if all(isinstance(cause, ConfigurationError | UnavailableError) for cause in causes):
        return UNREACHABLE
    return UNEXPECTED


def _reported(exc: Exception, flags: Flags) -> int:
    # A setting may be what is wrong: then the log is opened without any.
    code, log = code_of(exc), flags.log
    fields = {"exception": "".join(format_exception(exc))} if log.shows("debug") else {}
    texts = {_sentence(cause, code) for cause in _leaves(exc)}
    for text in sorted(texts):
        log.note("error", text, **fields)
    return code


def _sentence(exc: BaseException, code: int) -> str:
    text = " ".join(str(exc).split())[:_MESSAGE_MAX]
    if code != UNEXPECTED:
        return text
    return f"unexpected {type(exc).__name__}: {text} (-vv shows where)"


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exc)
        for each in group.exceptions:
            yield from _leaves(each)
    else:
        yield exc
