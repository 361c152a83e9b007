"""The program as its users run it: a process of its own, on a file, told things by environment.

Every test has its folder, which is also the working directory, so that no configuration file of the
machine is found. CLEARLIFT_NOW is set to NOW_MS unless a test says otherwise. A warning of Python's
in the process is an error, as it is in the tests.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.credentials import Column
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import iso
from tests.given import NOW_MS
from tests.interop.webcrypto import KEY
from tests.seed import Row, Seed, SqliteTables, Value

CIPHER: Final = FieldCipher(KEY)

_OURS: Final = ("CLEARLIFT_", "CLOUDFLARE_", "ENCRYPTION_", "FACEBOOK_", "GOOGLE_", "TIKTOK_")


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def report(self) -> Row:
        """Return the one JSON object on stdout."""
        return msgspec.json.decode(self.out, type=dict[str, Any])

    @property
    def lines(self) -> list[Row]:
        """Return the JSON objects on stdout, one a line."""
        return _lines(self.out)

    @property
    def log(self) -> list[Row]:
        """Return the JSON lines on stderr, but for the one about CLEARLIFT_NOW."""
        return [line for line in _lines(self.err) if "CLEARLIFT_NOW" not in line["event"]]


class Program:
    """The installed program, a database file and an environment."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.file = folder, folder / "clearlift.db"
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
        self.environment = {
            **inherited,
            "CLEARLIFT_DATABASE": f"sqlite:///{self.file}",
            "ENCRYPTION_KEY": KEY,
            "PYTHONWARNINGS": "error",
            **environment,
        }

    async def start(self, *arguments: str, now_ms: int = NOW_MS, **environment: str) -> Process:
        """Return the running process of one command; its outputs are pipes."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "clearlift_adapters.cli",
            *arguments,
            stdin=PIPE if arguments[0] == "connections" else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.folder,
            env={**self.environment, "CLEARLIFT_NOW": iso(now_ms), **environment},
        )

    async def run(
        self, *arguments: str, stdin: str | None = None, now_ms: int = NOW_MS, **environment: str
    ) -> Done:
        """Return what came of one command."""
        process = await self.start(*arguments, now_ms=now_ms, **environment)
        return await ended(process, stdin)

    async def done(
        self, *arguments: str, stdin: str | None = None, now_ms: int = NOW_MS, **environment: str
    ) -> Done:
        """Return what came of one command, which must end with 0."""
        done = await self.run(*arguments, stdin=stdin, now_ms=now_ms, **environment)
        assert done.code == 0, done.err.decode()
        return done

    @contextmanager
    def tables(self) -> Generator[Seed]:
        """Open the file beside the program, to write into it as others do, and to read it."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN")
            yield Seed(SqliteTables(db))
            db.execute("COMMIT")

    def load(self, script: str) -> None:
        """Run a dump of SQL."""
        with closing(sqlite3.connect(self.file)) as db:
            db.executescript(script)

    async def messages(self) -> tuple[Done, Sequence[Row]]:
        """Return what is in the queue, and how the command ended that looked."""
        done = await self.done("queue", "list", "--json")
        return done, done.lines

    def rows(self, table: str) -> list[Row]:
        with self.tables() as tables:
            return tables.rows(table)

    def connection(self, connection_id: str) -> Row:
        with self.tables() as tables:
            return tables.row("platform_connections", connection_id)

    def access_token(self, connection_id: str) -> str:
        """Return the plaintext that is stored for a connection."""
        column: Column = "credentials_encrypted"
        field = self.connection(connection_id)[column]
        return CIPHER.open(field, connection_id=connection_id, column=column)

    def life(self, connection_id: str) -> Sequence[str]:
        """Return the names of a connection's transitions, oldest first."""
        rows = self.rows("outbox")
        return [row["transition"] for row in rows if row["connection_id"] == connection_id]


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition()` holds; it looks at what another process does."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  nobody here could set an event
            await asyncio.sleep(0.01)


async def ended(process: Process, stdin: str | None = None) -> Done:
    """Return what came of a process, when it has ended."""
    out, err = await process.communicate(None if stdin is None else stdin.encode())
    assert process.returncode is not None
    return Done(process.returncode, out, err)


def connect(tables: Seed, connection_id: str, **columns: Value) -> None:
    """Add a connection whose tokens are `at-<id>` and `rt-<id>`, encrypted."""
    sealed: dict[str, Value] = {
        "credentials_encrypted": CIPHER.seal(f"at-{connection_id}"),
        "refresh_token_encrypted": CIPHER.seal(f"rt-{connection_id}"),
        **columns,
    }
    tables.add_connection(connection_id, **sealed)


def _lines(text: bytes) -> list[Row]:
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in text.splitlines()]
