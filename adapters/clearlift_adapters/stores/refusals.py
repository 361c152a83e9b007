"""What it means that SQLite or the operating system refuses a database file, and what helps.

Each becomes one of the engine's errors: the class says whether it is safe to run again as it is,
the sentence says what to put right if it is not.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.sql import RefusedError
from clearlift_engine.errors import ConfigurationError, CronWorkerError, UnavailableError

# What no retry mends, and what does.
_STEPS: Final = {
    errno.ENOENT: "make the directory first",
    errno.ENOTDIR: "a part of the path is a file: correct --database or CLEARLIFT_DATABASE",
    errno.EISDIR: "name a file in it",
    errno.EACCES: "make the file and its directory accessible for this user",
    errno.EPERM: "make the file and its directory accessible for this user",
    errno.EROFS: "name a file on another file system: this one is read-only",
    errno.ENAMETOOLONG: "give it a shorter name",
}
_DAMAGED: Final = "stop what uses it, and restore it from a backup"


class UnusableError(ConfigurationError, UnavailableError):
    """The database does not answer, and no retry mends that.

    It is both: whoever holds what cannot be stored saves it elsewhere, as when the database is
    away, and the exit code is the one of what somebody has to put right.
    """


def ensure_file(path: Path, mode: str) -> None:
    """See that there is a file at `path`; make it, readable by its owner alone, if mode is rwc.

    Raises:
        ConfigurationError: there is none, or this user may not use it.
        UnavailableError: it is not to be had now.
    """
    if mode != "rwc":
        try:
            path.stat()
        except FileNotFoundError:
            raise ConfigurationError(
                f"there is no database at {path}: create it with `clearlift-cron migrate`, "
                "or name another with --database"
            ) from None
        except OSError as exc:
            raise _unopened("open", path, exc) from exc
        if path.is_dir():
            raise _unopened(
                "open", path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            )
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise _unopened("create or open", path, exc) from exc


def _unopened(what: str, path: Path, exc: OSError) -> CronWorkerError:
    """Return what it means that the operating system refuses the file."""
    said = f"cannot {what} the database {path}: {exc.strerror}"
    step = _STEPS.get(exc.errno or 0)
    return UnavailableError(said) if step is None else ConfigurationError(f"{said}; {step}")


class Place:
    """A path, and which file was there when it was opened.

    SQLite goes on with a file that was replaced or removed, and shares the log beside it with
    whoever opens the new one: what the one commits, the other may copy into a file that nobody
    will ever read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, _file_at(path)

    def check(self) -> None:
        """Raise UnusableError if another file is there by now, or none."""
        if _file_at(self._path) != self._file:
            raise UnusableError(
                f"the database {self._path} was replaced or removed while it was in use: end what "
                f"uses it, put one whole file there without the {self._path.name}-wal and -shm of "
                "another, and start again"
            )


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Turn what SQLite raises into what the engine knows."""
    try:
        yield
    except sqlite3.IntegrityError as exc:
        raise RefusedError(str(exc)) from exc
    except sqlite3.OperationalError as exc:
        if "duplicate column name" in str(exc):  # Another process is migrating, too.
            raise RefusedError(str(exc)) from exc
        if "no such table" in str(exc) or "no such column" in str(exc):
            raise ConfigurationError(
                f"{path} is not set up for this version ({exc}): run `clearlift-cron migrate`"
            ) from exc
        raise _hopeless(path, exc) or UnavailableError(
            f"the database {path} does not answer: {exc}{_passing(exc)}"
        ) from exc
    except UnicodeDecodeError as exc:  # Of a message that quotes the schema: there, all is UTF-8.
        raise UnusableError(
            f"the database {path} cannot be used: {exc.reason}; {_DAMAGED}"
        ) from exc
    except sqlite3.DatabaseError as exc:
        raise _hopeless(path, exc) or UnavailableError(
            f"the database {path} cannot be read: {exc}"
        ) from exc


def _hopeless(path: Path, exc: "sqlite3.Error") -> UnusableError | None:
    """Return the error to raise if no retry can mend it, with what can."""
    match _code(exc):
        case sqlite3.SQLITE_NOTADB:
            step = "correct --database or CLEARLIFT_DATABASE, or move the file away"
        case sqlite3.SQLITE_CORRUPT:
            step = _DAMAGED
        case sqlite3.SQLITE_ERROR if "unsupported file format" in str(exc):
            step = _DAMAGED
        case sqlite3.SQLITE_READONLY:
            step = "make the file and its directory writable for this user"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM if not _within_reach(path):
            step = "it must be a file that this user may read, in a directory that it may write to"
        case _:
            return None
    return UnusableError(f"the database {path} cannot be used: {exc}; {step}")


def _passing(exc: "sqlite3.Error") -> str:
    """Return what to look at, if it does not pass by itself."""
    match _code(exc):
        case sqlite3.SQLITE_BUSY:
            return "; another program holds it"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return "; see that its disk has room and works"
        case _:
            return ""


def _code(exc: "sqlite3.Error") -> int:
    """Return SQLite's code without what extends it; what is not from SQLite itself has none."""
    code: int = getattr(exc, "sqlite_errorcode", 0)
    return code & 0xFF


def _within_reach(path: Path) -> bool:
    """Return whether it could be opened, so that something passing is what keeps it from it."""
    return path.is_file() and os.access(path, os.R_OK) and os.access(path.parent, os.W_OK | os.X_OK)
