"""A database as somebody else made and used it, before this worker came.

The shared tables are not spelled as ours are, they have columns that we do not know, and their rows
are as odd as rows become in years.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clearlift_adapters.stores.library import sqlite3

if TYPE_CHECKING:
    from sqlite3 import Connection

SCHEMA: Final = """
CREATE TABLE organizations (id TEXT PRIMARY KEY, plan TEXT DEFAULT 'free', seats INT);
CREATE TABLE "platform_connections" (
    `id` TEXT PRIMARY KEY NOT NULL, organization_id TEXT NOT NULL, platform TEXT NOT NULL,
    account_id TEXT NOT NULL, account_name TEXT, connected_by TEXT NOT NULL,
    connected_at DATETIME DEFAULT CURRENT_TIMESTAMP, last_synced_at DATETIME,
    sync_status TEXT DEFAULT 'pending', sync_error TEXT, is_active BOOLEAN DEFAULT TRUE,
    credentials_encrypted TEXT, refresh_token_encrypted TEXT, expires_at DATETIME, scopes TEXT,
    settings TEXT DEFAULT '{}', filter_rules BLOB, -- came later
    FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    UNIQUE(organization_id, platform, account_id)
);
CREATE TABLE sync_jobs (
    id TEXT PRIMARY KEY, organization_id TEXT NOT NULL, connection_id TEXT NOT NULL,
    status TEXT DEFAULT 'pending', job_type TEXT DEFAULT 'full', started_at DATETIME,
    completed_at DATETIME, error_message TEXT, records_synced INTEGER DEFAULT 0,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, metadata TEXT DEFAULT '{}', worker TEXT
);
CREATE TABLE onboarding_progress (user_id TEXT PRIMARY KEY, current_step TEXT NOT NULL);
CREATE TABLE connector_configs (id TEXT PRIMARY KEY, provider TEXT, oauth_token_url TEXT);
CREATE TABLE sessions (token TEXT PRIMARY KEY, expires_at DATETIME);
CREATE INDEX idx_connections_org ON platform_connections (organization_id);
CREATE VIEW active AS SELECT id FROM platform_connections WHERE is_active;
CREATE TRIGGER touched AFTER UPDATE ON onboarding_progress BEGIN SELECT 1; END;
"""

# What has been seen in DATETIME columns, and what SQLite itself might take for a time.
ODD_TIMES: Final[tuple[str | int | float | bytes | None, ...]] = (
    *(None, "", " ", "never", "now", "NOW", " now", "today", "0000-00-00 00:00:00"),
    *("2026-10-10 now", "2026-10-10T12:00:00.123Z", "2026-10-10 12:00:00", "2026-13-45"),
    *(
        "2026-10-10 12:00:00 localtime",
        "2461323.5",
        "12:00",
        "subsec",
        "2026-10",
        "\u0662\u0660\u0662\u0666-10-10",
    ),
    *(0, -1, 1_791_633_600, 1_791_633_600_000, 2461323.5, 1e300, 9_223_372_036_854_775_807),
    *(b"", b"\xff\x00", b"now", b"2026-10-10 12:00:00", "2026-10-10\x00now", "\U0001f4c5" * 10_000),
)


def foreign_database(file: Path) -> "Connection":
    """Make such a database, with a connection and a job for every odd time; return it open."""
    raw = sqlite3.connect(file, isolation_level=None)
    raw.executescript(SCHEMA)
    raw.execute("INSERT INTO organizations (id) VALUES ('org')")
    for number, odd in enumerate(ODD_TIMES):
        add_connection(raw, f"c{number}", odd)
    raw.execute("UPDATE platform_connections SET scopes = CAST(x'fffe' AS TEXT) WHERE id = 'c1'")
    raw.execute("UPDATE platform_connections SET is_active = 'perhaps' WHERE id = 'c2'")
    raw.execute("INSERT INTO connector_configs VALUES (NULL, 'google', 'https://example.test')")
    raw.execute("INSERT INTO onboarding_progress VALUES ('user', 'first_sync')")
    return raw


def add_connection(raw: "Connection", connection_id: str, odd: str | float | bytes | None) -> None:
    """Insert a connection whose every time is `odd`, and a job of it."""
    raw.execute(
        "INSERT INTO platform_connections (id, organization_id, platform, account_id, connected_by,"
        " connected_at, last_synced_at, expires_at, sync_status, settings, filter_rules)"
        " VALUES (?1, 'org', 'google', ?1, 'user', ?2, ?2, ?2, ?2, 'not JSON', x'00ff')",
        (connection_id, odd),
    )
    raw.execute(
        "INSERT INTO sync_jobs (id, organization_id, connection_id, created_at, started_at, worker)"
        " VALUES (?1, 'no such organization', ?2, ?3, ?3, 'another')",
        (f"job of {connection_id}", connection_id, odd),
    )


def schema_of(raw: "Connection") -> dict[str, str | None]:
    """Return the text of every table, index, view and trigger."""
    return dict(raw.execute("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'"))


def rows_of(raw: "Connection", tables: list[str]) -> dict[str, list[tuple[object, ...]]]:
    """Return every row with its rowid and, as SQL literals, each column's type and bytes."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for table in tables:
        columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
        exact = ", ".join(f"typeof({name}), hex(CAST({name} AS BLOB))" for name in columns)
        found[table] = raw.execute(f"SELECT rowid, {exact} FROM {table} ORDER BY rowid").fetchall()
    return found


def copy_of(template: Path, file: Path) -> "Connection":
    """Copy a database and open the copy."""
    shutil.copy(template, file)
    return sqlite3.connect(file, isolation_level=None)
