"""What can become of the database file and its disk, and how each is made good."""

import ctypes
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection as Sqlite
from typing import Final

import pytest

from clearlift_adapters.stores import database
from clearlift_adapters.stores.library import sqlite3
from tests.cli.program import Ended
from tests.trouble.scene import Scene

Strike = Callable[[Scene], Ended]  # Brings a fault about; returns how what met it has ended.
Mend = Callable[[Scene], None]

FULL: Final = os.environ.get("CLEARLIFT_PROOF") == "full"
PAGE: Final = 4096
_CAPBSET_DROP: Final = 24
_PAST_MODES: Final = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root looks at no mode.


def by_itself(scene: Scene) -> None:
    """Do nothing: the next run finds it well."""
    del scene


def restored(scene: Scene) -> None:
    scene.restore()


@contextmanager
def locked(scene: Scene) -> Generator[Sqlite]:
    """Hold the file as another program does in the middle of its transaction."""
    with closing(sqlite3.connect(scene.file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


def locked_for_seconds(scene: Scene) -> Ended:
    with locked(scene) as other:
        tick = scene.program.start("tick", **scene.settings)
        time.sleep(1)  # As long as a program takes to start, and longer.
        waits = tick.poll() is None
        other.execute("COMMIT")
    out, err = tick.communicate(timeout=60)
    assert waits
    return Ended(tick.returncode, out, err)


def locked_for_long(scene: Scene) -> Ended:
    with locked(scene), pytest.MonkeyPatch.context() as patch:
        if not FULL:
            patch.setattr(database, "BUSY_MS", 200)
        return scene.run("tick")


def obeys_modes() -> None:
    """Have the file's mode count for this process, though it may be root's."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in _PAST_MODES:
            assert libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) == 0


def file_is_read_only(scene: Scene) -> Ended:
    scene.file.chmod(0o400)
    scene.program.before = obeys_modes
    return scene.run_apart("tick")


def folder_is_read_only(scene: Scene) -> Ended:
    scene.program.folder.chmod(0o500)
    scene.program.before = obeys_modes
    return scene.run_apart("tick")


def writable(scene: Scene) -> None:
    scene.program.folder.chmod(0o700)
    scene.file.chmod(0o600)


def disk_is_full(scene: Scene) -> Ended:
    """Let no file of the process grow beyond what the log of a few commits takes."""
    room = 12 * PAGE
    scene.program.before = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    return scene.run_apart("tick")


def file_is_gone(scene: Scene) -> Ended:
    scene.file.rename(scene.program.folder / "elsewhere")
    return scene.run("tick")


def found_again(scene: Scene) -> None:
    (scene.program.folder / "elsewhere").rename(scene.file)


def file_is_empty(scene: Scene) -> Ended:
    os.truncate(scene.file, 0)
    return scene.run("tick")


def file_is_cut_short(scene: Scene) -> Ended:
    os.truncate(scene.file, scene.file.stat().st_size // 2)
    return scene.run("tick")


def file_is_no_database(scene: Scene) -> Ended:
    scene.file.write_text("no database, but a page of text\n" * 1000, encoding="utf-8")
    return scene.run("tick")


def file_is_replaced(scene: Scene) -> Ended:
    """Put the backup in the file's place, as `mv` does, while `relay` looks for work."""
    relay = scene.program.start("relay", "--interval", "0.05", "-v", **scene.settings)
    assert relay.stderr is not None
    said = ""
    while "relaying" not in said:
        said += relay.stderr.readline()
    shutil.copy(scene.backup, scene.program.folder / "new")
    (scene.program.folder / "new").rename(scene.file)
    try:
        out, err = relay.communicate(timeout=30)
    finally:
        relay.kill()
    return Ended(relay.returncode, out, said + err)


def log_is_changed(scene: Scene) -> Ended:
    """Deliver everything, and then change what was delivered."""
    for command in (("tick",), ("relay", "--drain")):
        scene.done(*command)
    shutil.copy(scene.file, scene.backup)
    _write(
        scene.file,
        "DROP TRIGGER outbox_refuses_update",
        "UPDATE outbox SET occurred_at = occurred_at - 1 WHERE connection_id = 'a' AND version = 2",
    )
    return scene.run("replay")


def projection_differs(scene: Scene) -> Ended:
    scene.done("tick")
    _write(scene.file, "UPDATE connection_state SET failures = 9 WHERE connection_id = 'a'")
    return scene.run("replay")


def rebuilt(scene: Scene) -> None:
    scene.done("replay", "--rebuild")


def no_descriptors(scene: Scene) -> Ended:
    scene.program.before = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    return scene.run_apart("tick")


def killed(scene: Scene) -> Ended:
    """Kill a tick when its first commits are in the file."""
    tick = scene.program.start("tick", **scene.settings)
    while not Path(f"{scene.file}-wal").exists() and tick.poll() is None:
        time.sleep(0.001)
    tick.send_signal(signal.SIGKILL)
    out, err = tick.communicate(timeout=30)
    return Ended(128 - tick.returncode, out, err)  # As a shell has it.


def _write(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


CASES: Final[Mapping[str, tuple[Strike, Mend]]] = {
    "another program holds the file for seconds": (locked_for_seconds, by_itself),
    "another program holds it for more than a minute": (locked_for_long, by_itself),
    "the file is read-only": (file_is_read_only, writable),
    "its directory is read-only": (folder_is_read_only, writable),
    "the disk is full": (disk_is_full, by_itself),
    "the file is gone": (file_is_gone, found_again),
    "the file is empty": (file_is_empty, restored),
    "the file is cut short or damaged": (file_is_cut_short, restored),
    "the file is no database": (file_is_no_database, restored),
    "the file is replaced while `relay` runs": (file_is_replaced, restored),
    "a row of the log was changed": (log_is_changed, restored),
    "the projection differs from the log": (projection_differs, rebuilt),
    "no more files may be opened": (no_descriptors, by_itself),
    "a process is killed, or the power fails": (killed, by_itself),
}
