"""The log and its seals as files of JSON lines, kept where no writer of the database can write.

A file of seals only grows. It is locked while it is written, and synced; if a crash left half a
line at its end, that is taken off first, for the database has the seal and it is written again.
"""

import fcntl
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Literal, TypeVar

import msgspec

from clearlift_adapters.durable import sync_folder
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.seal import encoded
from clearlift_engine.seals import Problem, Rule, Seal
from clearlift_engine.stream import Entry

T = TypeVar("T")
_Kind = Literal["row", "seal"]

LINE_BYTES_MAX: Final = 64_000_000  # Whatever is longer is neither a row nor a seal.
_SEAL_BYTES_MAX: Final = 1_000_000
_UNREADABLE: Final[Mapping[_Kind, Rule]] = {"row": "row_unreadable", "seal": "seal_unreadable"}


class _Row(Entry, frozen=True, forbid_unknown_fields=True):
    """A row of the log as a line of an export."""


_ROW: Final = msgspec.json.Decoder(_Row)
_SEAL: Final = msgspec.json.Decoder(Seal)


def rows_in(file: Path) -> AsyncIterator[Entry | Problem]:
    """Return the rows of an exported log.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return _each(_records(file, _ROW.decode, "row"))


def seals_in(file: Path) -> AsyncIterator[Seal | Problem]:
    """Return the seals of a file, in its order.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return _each(_records(file, _SEAL.decode, "seal"))


async def merged(
    stored: AsyncIterator[Seal | Problem], kept: AsyncIterator[Seal | Problem]
) -> AsyncIterator[Seal | Problem]:
    """Yield the seals of a database and of a file by their numbers; where they differ, the file's.

    The file may have begun later than the database, and may lack what was sealed without it.
    """
    here, there = await anext(stored, None), await anext(kept, None)
    while here is not None or there is not None:
        if isinstance(here, Problem):
            yield here
            here = await anext(stored, None)
        elif isinstance(there, Problem):
            yield there
            there = await anext(kept, None)
        elif here is not None and (there is None or here.number < there.number):
            yield here
            here = await anext(stored, None)
        elif there is not None:
            if here is None or here.number > there.number:
                detail = f"seal {there.number} is in the file and not in the database"
                yield Problem("seal_missing", detail)
            else:
                if here != there:
                    detail = f"seal {there.number} of the database is not the one of the file"
                    yield Problem("seal_differs", detail)
                here = await anext(stored, None)
            yield there
            there = await anext(kept, None)


class SealFile:
    """An open and locked file of seals."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @property
    def last(self) -> Seal | Problem | None:
        """Return the newest seal of the file, None if it is empty."""
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(end - _SEAL_BYTES_MAX, 0))
        lines = self._file.read().splitlines()
        if not lines:
            return None
        try:
            return msgspec.json.decode(lines[-1], type=Seal)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            return Problem("seal_unreadable", f"the last line of the file is no seal: {exc}")

    def add(self, seal: Seal) -> None:
        """Write one more."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(encoded(seal))

    def sync(self) -> None:
        """Return when what was written will survive a crash."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def mend(self) -> None:
        """Take off what follows the last line feed."""
        end = self._file.seek(0, os.SEEK_END)
        start = max(end - _SEAL_BYTES_MAX, 0)
        self._file.seek(start)
        torn = self._file.read().rpartition(b"\n")[2]
        if torn:
            self._file.truncate(end - len(torn))


@contextmanager
def opened(path: Path) -> Generator[SealFile]:
    """Open a file of seals, made if there is none, for one process at a time.

    Raises:
        ConfigurationError: it cannot be opened or written.
    """
    try:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "rb+") as raw:
            fcntl.flock(raw, fcntl.LOCK_EX)
            if is_new:
                sync_folder(path.parent)
            file = SealFile(raw)
            file.mend()
            yield file
            file.sync()
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write the seals to {path}: {exc.strerror}; name another file with --out"
        ) from exc


@contextmanager
def created(path: Path) -> Generator[IO[bytes]]:
    """Open a new file that is there, whole and synced, only when the block has ended well.

    Raises:
        ConfigurationError: there is such a file already, or it cannot be made.
    """
    half = path.with_name(f"{path.name}.half")
    if path.exists():
        raise ConfigurationError(
            f"{path} is there already and is left alone: name a new file with --out"
        )
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        half.replace(path)
        sync_folder(path.parent)
    except OSError as exc:
        raise ConfigurationError(f"cannot write {path}: {exc.strerror}") from exc


def _records(file: Path, decode: Callable[[bytes], T], what: _Kind) -> Iterator[T | Problem]:
    try:
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(LINE_BYTES_MAX):
                number += 1
                yield _record(line, number, decode, what)
    except OSError as exc:
        raise ConfigurationError(f"cannot read {file}: {exc.strerror}") from exc


def _record(line: bytes, number: int, decode: Callable[[bytes], T], what: _Kind) -> T | Problem:
    rule = _UNREADABLE[what]
    if not line.endswith(b"\n"):
        return Problem(rule, f"line {number} ends in its middle")
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        return Problem(rule, f"line {number} is no {what}: {exc}")


async def _each(records: Iterator[T]) -> AsyncIterator[T]:
    for record in records:
        yield record
