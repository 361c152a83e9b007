"""A process that has everything imported and forks: a new worker in milliseconds.

Each worker is a process of its own that runs the program's own `main()`; it only skips the start of
Python. `python -m tests.steps.warm SOCKET` listens there. Whoever connects sends one line, an
Order, and reads what becomes of the process: its id, `stopped` whenever it is, its exit code.
It ends with its standard input, and all workers with it.
"""

import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import traceback
from importlib import import_module
from io import StringIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn
from uuid import UUID

import msgspec
import uuid_utils

from clearlift_adapters import cli
from clearlift_adapters.cli import commands

MODULES: Final = (
    *("cryptography.hazmat.primitives.ciphers.aead", "httpx", "pysqlite3.dbapi2", "rich"),
    *("clearlift_adapters.cipher", "clearlift_adapters.http_client", "clearlift_adapters.sealing"),
    *("clearlift_adapters.oauth.exchange", "clearlift_adapters.rekeying"),
)
COMMANDS: Final = ("migrate", "tick", "relay", "replay", "status", "queue", "keys", "audit")
REHEARSED: Final = ("migrate", "tick --json", "relay --drain --json", "replay --json")
CLOSED: Final = "closed"  # As an output: a pipe whose reader is gone.
_PR_SET_PDEATHSIG: Final = 1  # prctl(2).


class Order(msgspec.Struct, frozen=True):
    """One command to run."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    out: str
    err: str


class Said(msgspec.Struct, frozen=True):
    """What became of it: one of the three."""

    pid: int | None = None
    stopped: bool = False
    code: int | None = None


def main(path: str) -> None:
    """Fork a worker for everybody who connects, until standard input ends."""
    for name in (*MODULES, *(f"clearlift_adapters.cli.{each}" for each in COMMANDS)):
        import_module(name)
    rehearse()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nurses are not waited for.
    end_with_the_parent()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            peer, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                nurse(peer)
            peer.close()


def rehearse() -> None:
    """Run what loads, compiles and caches on first use, so that no worker has to.

    Ids are not drawn: whoever is forked later would go on in the same sequence of random numbers.
    """
    numbers = count()
    drawn = uuid_utils.__dict__["uuid7"]
    uuid_utils.__dict__["uuid7"] = lambda: UUID(int=next(numbers))
    told, shown, said = dict(os.environ), os.dup(1), sys.stderr
    redirect(1, os.devnull)
    sys.stderr = StringIO()
    with TemporaryDirectory() as folder:
        os.environ["CLEARLIFT_DATABASE"] = f"sqlite:///{folder}/clearlift.db"
        os.environ["CLEARLIFT_NOW"] = "2026-10-10T12:00:00Z"  # So that there is something to say.
        for command in REHEARSED:
            assert commands.run(command.split()) == 0, command
    os.dup2(shown, 1)
    sys.stderr = said
    logging.getLogger().handlers.clear()
    os.environ.clear()
    os.environ.update(told)
    uuid_utils.__dict__["uuid7"] = drawn


def end_with_the_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def nurse(peer: socket.socket) -> NoReturn:
    """Start one worker, and tell what becomes of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_the_parent()
    with peer, peer.makefile("rwb") as stream:
        order = msgspec.json.decode(stream.readline(), type=Order)
        pid = os.fork()
        if pid == 0:
            peer.close()
            os.closerange(3, 64)
            work(order)

        def say(said: Said) -> None:
            stream.write(msgspec.json.encode(said) + b"\n")
            stream.flush()

        say(Said(pid=pid))
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            say(Said(stopped=True))
        say(Said(code=os.waitstatus_to_exitcode(status)))
    os._exit(0)


def work(order: Order) -> NoReturn:
    """Be `clearlift-cron` from here on."""
    end_with_the_parent()
    os.chdir(order.folder)
    for descriptor, path in ((0, os.devnull), (1, order.out), (2, order.err)):
        redirect(descriptor, path)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = ["clearlift-cron", *order.arguments]
    if os.environ.get("STEPS_ROLLBACK_JOURNAL"):
        keep_rollback_journal()
    ctypes.CDLL(None).steps_begin()
    code: object = 1
    try:
        cli.main()
    except SystemExit as exc:
        code = exc.code
    except BaseException:  # noqa: BLE001  what Python itself does at the end of a program
        traceback.print_exc()
    os._exit(code if isinstance(code, int) else 0)


def redirect(descriptor: int, path: str) -> None:
    """Let a descriptor lead to a file, or to where nobody reads."""
    if path == CLOSED:
        reader, opened = os.pipe()
        os.close(reader)
    else:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)


def keep_rollback_journal() -> None:
    """Do what the worker does on a SQLite whose write-ahead log cannot be trusted."""
    database = import_module("clearlift_adapters.stores.database")
    database.__dict__["wal_is_safe"] = lambda: False


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(sys.argv[1])
