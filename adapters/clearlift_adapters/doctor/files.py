"""Who can read what lies beside the program: the database, and the tokens that wait for it."""

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from clearlift_adapters.doctor.findings import Finding, Findings
from clearlift_adapters.doctor.start import mode_of

_ENDINGS: Final = ("", "-wal", "-shm", "-journal")
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs"}
)
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
_MOUNTS: Final = Path("/proc/self/mounts")


def database_files(path: Path) -> Findings:
    """Yield whether others can read or write the database, where only tokens are encrypted."""
    modes = {
        str(file): mode
        for ending in _ENDINGS
        if (mode := mode_of(file := path.with_name(path.name + ending))) is not None
    }
    if not modes:
        return
    readable = [file for file, mode in modes.items() if mode & stat.S_IROTH]
    writable = [file for file, mode in modes.items() if mode & stat.S_IWOTH]
    found = f"{path} has mode {modes.get(str(path), 0):04o}"
    if writable:
        found += f"; every user of this machine can write {', '.join(writable)}"
    elif readable:
        found += f"; every user of this machine can read {', '.join(readable)}"
    yield Finding(
        "database_file",
        "error" if writable else "warning" if readable else "ok",
        str(path),
        found,
        {file: f"{mode:04o}" for file, mode in modes.items()},
        f"chmod o-rwx {path}*" if readable or writable else None,
    )


def file_system(path: Path, mounts: str | None = None) -> Findings:
    """Yield whether the file system keeps what is synced, and knows SQLite's locks."""
    kind = _kind(path.absolute(), (_mounts() if mounts is None else mounts).splitlines())
    if kind is None:
        return
    values = {"file": str(path), "file_system": kind}
    if kind in _NETWORK:
        yield Finding(
            "file_system",
            "error",
            str(path),
            f"the database lies on {kind}: SQLite's locks and its log need a local disk",
            values,
            "move it to a local disk, or use d1://",
        )
    elif kind in _VOLATILE:
        yield Finding(
            "file_system",
            "warning",
            str(path),
            f"the database lies on {kind}, in memory: it is gone after a restart",
            values,
            "move it to a disk",
        )
    else:
        yield Finding("file_system", "ok", str(path), f"the database lies on {kind}", values)


def _mounts() -> str:
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:  # Not every system has it.
        return ""


def _kind(path: Path, mounts: Iterable[str]) -> str | None:
    """Return the kind of file system of the longest mount point above `path`."""
    found: list[tuple[int, str]] = []
    for line in mounts:
        _device, _, rest = line.partition(" ")
        point, _, rest = rest.partition(" ")
        if point and path.is_relative_to(point):
            found.append((len(point), rest.partition(" ")[0]))
    return max(found, key=lambda each: each[0])[1] if found else None
