"""Which SQLite this process uses, and whether it may use the write-ahead log.

SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when one process checkpoints while another resets
the log (https://sqlite.org/wal.html, "the WAL-reset bug"; mended in 3.51.3 and in the branches
3.50.7 and 3.44.6). Several processes on one file is how this worker runs. So: `pysqlite3`, whose
wheels carry a newer SQLite, where there is one; else the standard library's, and with an old one
the rollback journal, which never had the bug. Measured side by side: README "Decisions".
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        sqlite3 = importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        import sqlite3

__all__ = ["VERSION", "sqlite3", "wal_is_safe"]

VERSION: Final = sqlite3.sqlite_version_info
OLDEST: Final = (3, 38, 0)  # unixepoch(); STRICT came with 3.37, RETURNING with 3.35.
_MENDED: Final = (3, 51, 3)
_MENDED_BRANCHES: Final = {(3, 50): 7, (3, 44): 6}

# For each None that it binds, the module looks in vain for a way to adapt it: 0.9 µs. Found at
# once, and left as it is, it takes 0.1. A dict is the quickest thing that returns None.
sqlite3.register_adapter(type(None), dict[None, None]().get)


def wal_is_safe(version: tuple[int, int, int] = VERSION) -> bool:
    """Return whether this SQLite is without the WAL-reset bug."""
    major, minor, patch = version
    branch = _MENDED_BRANCHES.get((major, minor))
    return version >= _MENDED or (branch is not None and patch >= branch)
