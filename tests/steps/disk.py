"""A disk that loses its power: what may be on it, given what was written and what was synced.

What a sync has returned for is there. Of the rest, any part may be: writes come in any order, in
sectors of 512 bytes of which some may be missing, and what was never written may hold anything.
Names (a file made, removed, renamed) are there when their folder was synced; before that, those
that are there are the first ones, as file systems with a journal keep them.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Literal, NamedTuple

from tests.steps.points import Step

SECTOR: Final = 512
Style = Literal["nothing", "everything", "in order", "some", "torn", "torn, with garbage"]
STYLES: Final[Sequence[Style]] = (
    *("nothing", "everything", "in order", "some", "torn", "torn, with garbage"),
)


class Write(NamedTuple):
    """Bytes that went into a file, or with None: its new length."""

    offset: int
    content: bytes | None


@dataclass
class File:
    """What is surely in a file, and what may be."""

    synced: bytearray = field(default_factory=bytearray)
    written: list[Write] = field(default_factory=list[Write])

    def sync(self) -> None:
        """Make sure of all that was written."""
        for write in self.written:
            apply(self.synced, write)
        self.written.clear()


class Naming(NamedTuple):
    """A name that got another file, or none."""

    path: str
    file: File | None


class Disk:
    """All files in some folders, as a journal of steps changes them."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.synced: dict[str, File] = {
            path: File(bytearray(content)) for path, content in files.items()
        }
        self.named: list[Naming] = []
        self.now = dict(self.synced)

    def take(self, step: Step, content: bytes) -> None:
        """Let one step happen; of a write, `content` is what was written."""
        if step.is_outside or step.length < 0:
            return
        path = step.path
        match step.call:
            case "write":
                self._file(path).written.append(Write(step.offset, content))
            case "truncate":
                self._file(path).written.append(Write(step.offset, None))
            case "sync" if path in self.now:
                self.now[path].sync()
            case "sync":
                self._sync_names(path)
            case "unlink":
                self._name(path, None)
            case "rename":
                old, new = path.split("\t")
                self._name(new, self.now[old])
                self._name(old, None)
            case _:
                pass

    def view(self) -> dict[str, bytes]:
        """Return all files as every process sees them."""
        return {path: content(file.synced, file.written) for path, file in self.now.items()}

    def image(self, random: Random, style: Style) -> dict[str, bytes]:
        """Return all files as they may be found when the power is back."""
        names = dict(self.synced)
        kept = {"nothing": 0, "everything": len(self.named)}.get(style)
        for path, file in self.named[
            : random.randint(0, len(self.named)) if kept is None else kept
        ]:
            if file is None:
                names.pop(path, None)
            else:
                names[path] = file
        return {
            path: content(file.synced, survivors(file, random, style), noise(random, style))
            for path, file in names.items()
        }

    def _file(self, path: str) -> File:
        if path not in self.now:
            self._name(path, File())
        return self.now[path]

    def _name(self, path: str, file: File | None) -> None:
        self.named.append(Naming(path, file))
        if file is None:
            self.now.pop(path, None)
        else:
            self.now[path] = file

    def _sync_names(self, folder: str) -> None:
        """Make sure of the names in a folder."""
        left: list[Naming] = []
        for naming in self.named:
            if os.path.dirname(naming.path) != folder:  # noqa: PTH120  a name in a journal
                left.append(naming)
            elif naming.file is None:
                self.synced.pop(naming.path, None)
            else:
                self.synced[naming.path] = naming.file
        self.named = left


def survivors(file: File, random: Random, style: Style) -> Iterable[Write]:
    """Return what is there of the writes that were not synced."""
    match style:
        case "nothing":
            return []
        case "everything":
            return file.written
        case "in order":
            return file.written[: random.randint(0, len(file.written))]
        case "some":
            return [write for write in file.written if random.random() < 0.5]
        case _:
            return [part for write in file.written for part in torn(write, random)]


def torn(write: Write, random: Random) -> Iterable[Write]:
    """Yield some of the sectors of a write."""
    if write.content is None:
        if random.random() < 0.5:
            yield write
        return
    end = write.offset + len(write.content)
    chance = random.choice((0.0, 0.3, 0.9, 1.0))
    for begin in range(write.offset - write.offset % SECTOR, end, SECTOR):
        if random.random() < chance:
            first, last = max(begin, write.offset), min(begin + SECTOR, end)
            part = write.content[first - write.offset : last - write.offset]
            yield Write(first, part)


def noise(random: Random, style: Style) -> bytes:
    """Return what stands where nothing was ever written."""
    return random.randbytes(SECTOR) if style == "torn, with garbage" else bytes(SECTOR)


def content(synced: bytearray, writes: Iterable[Write], filling: bytes = bytes(SECTOR)) -> bytes:
    """Return a file's content with some writes on top of what is surely there."""
    found = bytearray(synced)
    for write in writes:
        apply(found, write, filling)
    return bytes(found)


def apply(content: bytearray, write: Write, filling: bytes = bytes(SECTOR)) -> None:
    """Write into a content; what lies between its end and the write is filled."""
    if write.content is None:
        del content[write.offset :]
    gap = write.offset - len(content)
    if gap > 0:
        content += (filling * (gap // SECTOR + 1))[:gap]
    if write.content is not None:
        content[write.offset : write.offset + len(write.content)] = write.content


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of the files in a folder that belong to a database."""
    return {str(path): path.read_bytes() for path in folder.glob("clearlift.db*") if path.is_file()}
