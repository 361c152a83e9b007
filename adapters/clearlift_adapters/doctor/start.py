"""What every start looks at, because going on would do harm: it has to cost next to nothing.

No file is opened and nothing is imported for it: some calls of stat, some comparisons.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clearlift_adapters.doctor.findings import Finding, Findings
from clearlift_adapters.settings import Settings
from clearlift_adapters.stores.library import VERSION, wal_is_safe
from clearlift_engine.policy import iso

YEAR_2025_MS: Final = 1_735_689_600_000


def looked_at(settings: Settings, now_ms: int, environment: Mapping[str, str]) -> Findings:
    """Yield all of it."""
    yield from clock(now_ms, is_set=settings.now_ms is not None)
    yield from secret_files(settings.secret_files)
    yield from config_file(settings.config)
    yield from library(settings.database)
    yield from syncing(environment)


def clock(now_ms: int, *, is_set: bool) -> Findings:
    """Yield whether the time of day can be meant, and whether somebody has set it."""
    values = {"now": iso(now_ms), "CLEARLIFT_NOW": is_set}
    if now_ms < YEAR_2025_MS:
        where = "CLEARLIFT_NOW" if is_set else "the clock of this machine"
        yield Finding(
            "clock_long_ago",
            "warning" if is_set else "error",  # Who sets it may mean it: a test, a what-if.
            where,
            f"{where} says {iso(now_ms)}, which is long over: nothing would be due, and what is "
            "written to the log would be dated wrong for ever",
            values,
            "unset CLEARLIFT_NOW" if is_set else "set the clock, and let NTP keep it",
        )
    elif is_set:
        found = f"CLEARLIFT_NOW sets the clock to {iso(now_ms)}: that is for tests and what-if"
        yield Finding("clock", "warning", "CLEARLIFT_NOW", found, values, "unset CLEARLIFT_NOW")
    else:
        yield Finding("clock", "ok", "the clock", f"it is {iso(now_ms)}", values)


def secret_files(files: Mapping[str, Path]) -> Findings:
    """Yield which files with secrets others than their owner and group can read or write."""
    for setting, path in files.items():
        mode = mode_of(path)
        if mode is None:
            continue
        open_to = _others(mode)
        values = {"setting": setting, "file": str(path), "mode": f"{mode:04o}"}
        yield Finding(
            "secret_file",
            "warning" if open_to else "ok",
            f"{setting}: {path}",
            f"the file of a secret, {path}, has mode {mode:04o}"
            + (f": it is {open_to} by every user of this machine" if open_to else ""),
            values,
            f"chmod o-rwx {path}" if open_to else None,
        )


def config_file(path: Path | None) -> Findings:
    """Yield whether others can write the configuration file, and so say where tokens are sent."""
    mode = None if path is None else mode_of(path)
    if mode is None:
        return
    bad = mode & stat.S_IWOTH
    yield Finding(
        "config_file",
        "warning" if bad else "ok",
        f"{path}",
        f"the configuration file {path} has mode {mode:04o}"
        + (": whoever can write it decides where tokens are sent" if bad else ""),
        {"file": str(path), "mode": f"{mode:04o}"},
        f"chmod o-w {path}" if bad else None,
    )


def library(database: str) -> Findings:
    """Yield whether this SQLite can share a file with others by the write-ahead log."""
    if not database.startswith("sqlite:"):
        return
    version, safe = ".".join(map(str, VERSION)), wal_is_safe()
    yield Finding(
        "sqlite_library",
        "ok" if safe else "warning",
        "the SQLite library",
        f"SQLite {version} "
        + (
            "may share a file by its write-ahead log"
            if safe
            else "can corrupt a write-ahead log that several processes share, so that the slower "
            "rollback journal is used: while one writes, the others wait"
        ),
        {"version": version, "write_ahead_log": safe},
        None if safe else "pip install pysqlite3, where there is a wheel; else SQLite 3.51.3",
    )


def syncing(environment: Mapping[str, str]) -> Findings:
    """Yield whether something has been put between this process and its fsync."""
    for name in ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES"):
        if "eatmydata" in environment.get(name, ""):
            yield Finding(
                "durability",
                "error",
                name,
                f"{name} names libeatmydata, which makes fsync do nothing: after a power cut, what "
                "was reported as done would be lost",
                {name: "libeatmydata"},
                f"unset {name}",
            )


def mode_of(path: Path) -> int | None:
    """Return the permissions of a file; None if there is none, or it is no file of this system."""
    try:
        status = path.stat()
    except OSError:
        return None
    # A pipe of `NAME_FILE=<(…)` is gone when it was read.
    return stat.S_IMODE(status.st_mode) if stat.S_ISREG(status.st_mode) else None


def _others(mode: int) -> str:
    bits = {"readable": stat.S_IROTH, "writable": stat.S_IWOTH}
    return " and ".join(word for word, bit in bits.items() if mode & bit)
