"""Points: at which step of a process what is done to it; and the journal of its steps."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

Mode = Literal[
    "kill-before",
    "kill-amid",
    "kill-after",
    "stop-before",
    "stop-after",
    "eio-once",
    "eio-on",
    "enospc-once",
    "enospc-on",
]
KILLS: Final[Sequence[Mode]] = ("kill-before", "kill-amid", "kill-after")
STOPS: Final[Sequence[Mode]] = ("stop-before", "stop-after")
ERRORS: Final[Sequence[Mode]] = ("eio-once", "eio-on", "enospc-once", "enospc-on")
_ERRNO: Final = {"eio": errno.EIO, "enospc": errno.ENOSPC}
_HALVED: Final = ("write", "send")
_GROWING: Final = ("write", "sync", "truncate", "mkdir", "rename")


class Point(NamedTuple):
    """One step of one process, and what happens there."""

    mode: Mode
    at: int

    @property
    def environment(self) -> dict[str, str]:
        """Return how a process is told."""
        error, _, times = self.mode.partition("-")
        if error in _ERRNO:
            told = {"STEPS_MODE": f"fail-{times}", "STEPS_ERRNO": str(_ERRNO[error])}
        else:
            told = {"STEPS_MODE": self.mode}
        return {**told, "STEPS_AT": str(self.at)}

    def __str__(self) -> str:
        return f"{self.mode} {self.at}"


class Step(NamedTuple):
    """One thing that a process did."""

    call: str
    offset: int
    length: int  # What the call returned: bytes, or 0; negative if it failed.
    path: str

    @property
    def is_outside(self) -> bool:
        """Return whether it leads out of the file system."""
        return self.path in {"tcp", "stdout", "stderr"}

    def allows(self, mode: Mode) -> bool:
        """Return whether the mode means something of its own for this step."""
        if mode == "kill-amid":
            return self.call in _HALVED and self.length > 1
        if mode.endswith("-on"):
            return not self.is_outside
        if mode.startswith("enospc"):
            return self.call in _GROWING and self.path != "tcp"
        return True

    def __str__(self) -> str:
        return f"{self.call} {os.path.basename(self.path)}+{self.offset} ({self.length})"  # noqa: PTH119  of two paths, where it is a renaming


def read_journal(file: Path) -> list[Step]:
    """Return the steps that a process took, in their order."""
    steps: list[Step] = []
    for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        call, offset, length, path = line.split("\t", 3)
        steps.append(Step(call, int(offset), int(length), path))
    return steps


def points(steps: Sequence[Step], mode: Mode, every: int = 1) -> Iterator[Point]:
    """Yield a point for each step that the mode means something for, or for each so-and-so-many."""
    allowed = [at for at, step in enumerate(steps, start=1) if step.allows(mode)]
    yield from (Point(mode, at) for at in allowed[len(mode) % every :: every])
