"""The database as it was opened: its tables, and what is safe when it says that it is."""

from collections.abc import Sequence
from typing import Final

from clearlift_adapters.doctor.findings import Finding, Findings

FULL: Final = 2  # Of PRAGMA synchronous; 3 is EXTRA.
_DURABLE: Final = frozenset({"wal", "delete", "truncate", "persist"})


def schema(names: Sequence[str], pending: Sequence[str]) -> Findings:
    """Yield whether the tables are those of this program."""
    values = {"migrations": len(names), "pending": list(pending)}
    if pending:
        found = f"{len(pending)} of {len(names)} migrations are not applied, first {pending[0]}"
        remedy = "clearlift-cron migrate, and then doctor again: it has looked no further"
        yield Finding("schema", "error", "d1_migrations", found, values, remedy)
    else:
        found = f"all {len(names)} migrations are applied"
        yield Finding("schema", "ok", "d1_migrations", found, values)


def durability(journal: str, synchronous: int) -> Findings:
    """Yield whether a transaction that was committed survives a power cut."""
    durable = synchronous >= FULL and journal in _DURABLE
    yield Finding(
        "durability",
        "ok" if durable else "error",
        "PRAGMA synchronous, PRAGMA journal_mode",
        f"the database is opened with synchronous={synchronous} and journal_mode={journal}: "
        + ("what is committed survives a power cut" if durable else "a power cut loses commits"),
        {"synchronous": synchronous, "journal_mode": journal},
        None if durable else "install pysqlite3, or another build of SQLite",
    )
