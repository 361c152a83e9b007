"""Puts rows into the shared tables as other programs do, and reads any table, in any store."""

from collections.abc import Callable, Mapping
from sqlite3 import Connection as Sqlite
from typing import Any, Protocol

import msgspec

from clearlift_adapters.stores.memory import ConnectionRow, JobTableRow, MemoryDatabase, SealRow
from clearlift_engine.stream import Entry

Value = str | int | float | bytes | None
Row = dict[str, Any]


class Tables(Protocol):
    """Raw access to one database, beside the adapters and past every rule."""

    def insert(self, table: str, row: Mapping[str, Value]) -> None: ...

    def update(self, table: str, row_id: str, row: Mapping[str, Value]) -> None: ...

    def delete(self, table: str, row_id: str | int) -> None: ...

    def rows(self, table: str) -> list[Row]:
        """Return a whole table, in the order of its first column."""
        ...


class Seed:
    """What the API worker, the queue consumer and an operator write. Times are raw text."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._organizations: set[str] = set()

    def add_organization(self, organization_id: str) -> None:
        self._organizations.add(organization_id)
        self._tables.insert("organizations", {"id": organization_id})

    def remove_organization(self, organization_id: str) -> None:
        self._tables.delete("organizations", organization_id)

    def add_connection(self, connection_id: str, **columns: Value) -> None:
        """Add a connection, and its organisation if need be: never synced, its token lasts."""
        row: dict[str, Value] = {
            "id": connection_id,
            "organization_id": "org",
            "platform": "google",
            "account_id": f"account of {connection_id}",
            "connected_by": "user",
            "connected_at": "2026-01-01 00:00:00",
            "credentials_encrypted": f"access of {connection_id}",
            "refresh_token_encrypted": f"refresh of {connection_id}",
            **columns,
        }
        organization_id = str(row["organization_id"])
        if organization_id not in self._organizations:
            self.add_organization(organization_id)
        self._tables.insert("platform_connections", row)

    def update_connection(self, connection_id: str, **columns: Value) -> None:
        self._tables.update("platform_connections", connection_id, columns)

    def delete_connection(self, connection_id: str) -> None:
        self._tables.delete("platform_connections", connection_id)

    def add_job(self, job_id: str, connection_id: str, **columns: Value) -> None:
        """Add a pending job, as some other program might."""
        row: dict[str, Value] = {
            "id": job_id,
            "organization_id": "org",
            "connection_id": connection_id,
            "created_at": "2026-01-01 00:00:00",
            **columns,
        }
        self._tables.insert("sync_jobs", row)

    def update_job(self, job_id: str, **columns: Value) -> None:
        self._tables.update("sync_jobs", job_id, columns)

    def set_interval(self, connection_id: str, seconds: int) -> None:
        row: dict[str, Value] = {"connection_id": connection_id, "sync_interval": seconds}
        self._tables.insert("connection_settings", row)

    def rename(self, connection_id: str, ciphertexts: str, known_as: str) -> None:
        """Say, as `keys rotate` does, that a pair of ciphertexts is another one, encrypted anew."""
        row = {"connection_id": connection_id, "ciphertexts": ciphertexts, "known_as": known_as}
        self._tables.insert("credential_seals", row)

    def add_entry(self, entry: Entry) -> None:
        """Write a row of the log past every rule of the store."""
        self._tables.insert("outbox", msgspec.structs.asdict(entry))

    def tear_out(self, *positions: int) -> None:
        """Remove rows of the log, as only somebody can who goes past every lock."""
        for position in positions:
            self._tables.delete("outbox", position)

    def rows(self, table: str) -> list[Row]:
        return self._tables.rows(table)

    def row(self, table: str, row_id: str) -> Row:
        """Return the one row whose first column says `row_id`."""
        [found] = [row for row in self.rows(table) if next(iter(row.values())) == row_id]
        return found


class MemoryTables:
    """Raw access to a MemoryDatabase."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        columns: Row = dict(row)
        match table:
            case "organizations":
                self._db.organizations.add(columns["id"])
            case "platform_connections":
                self._db.connect(ConnectionRow(**columns))
            case "connection_settings":
                self._db.settings[columns["connection_id"]] = columns["sync_interval"]
            case "credential_seals":
                self._db.seals[columns["connection_id"]] = SealRow(**columns)
            case _:
                self._db.jobs[columns["id"]] = JobTableRow(**columns)

    def update(self, table: str, row_id: str, row: Mapping[str, Value]) -> None:
        if table == "sync_jobs":
            found: object = self._db.jobs[row_id]
        else:
            found = self._db.connection(row_id)
        for column, value in row.items():
            setattr(found, column, value)

    def delete(self, table: str, row_id: str | int) -> None:
        match row_id:
            case int():
                del self._db.outbox[row_id]
            case _ if table == "organizations":
                self._db.organizations.remove(row_id)
            case _:
                self._db.disconnect(row_id)

    def rows(self, table: str) -> list[Row]:
        read: Mapping[str, Callable[[], list[Row]]] = {
            "platform_connections": lambda: _plain(self._db.connections),
            "sync_jobs": lambda: _plain(self._db.jobs),
            "outbox": lambda: _plain(self._db.outbox),
            "connection_state": self._state,
            "runs": lambda: _plain(self._db.runs),
            "leases": lambda: _plain(self._db.leases),
            "queue_messages": lambda: _plain(self._db.queue),
            "credential_seals": lambda: _plain(self._db.seals),
            "notices": lambda: _plain(self._db.notices),
        }
        return sorted(read[table](), key=lambda row: next(iter(row.values())))

    def _state(self) -> list[Row]:
        return [
            {**msgspec.structs.asdict(row.stream), "position": row.position}
            for row in self._db.state.values()
        ]


class SqliteTables:
    """Raw access to a SQLite file, by plain statements; foreign keys are not looked at."""

    def __init__(self, db: Sqlite) -> None:
        self._db = db

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        marks = ", ".join("?" for _ in row)
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
        self._db.execute(sql, tuple(row.values()))

    def update(self, table: str, row_id: str, row: Mapping[str, Value]) -> None:
        changes = ", ".join(f"{column} = ?" for column in row)
        self._db.execute(f"UPDATE {table} SET {changes} WHERE id = ?", (*row.values(), row_id))

    def delete(self, table: str, row_id: str | int) -> None:
        if table == "outbox":
            self._db.execute("DROP TRIGGER IF EXISTS outbox_refuses_delete")
            self._db.execute("DELETE FROM outbox WHERE position = ?", (row_id,))
        else:
            self._db.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,))

    def rows(self, table: str) -> list[Row]:
        cursor = self._db.execute(f"SELECT * FROM {table} ORDER BY 1")
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _plain(table: Mapping[Any, msgspec.Struct]) -> list[Row]:
    return [msgspec.structs.asdict(row) for row in table.values()]
