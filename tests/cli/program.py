"""The program as cron starts it: a process, an environment of its own, two streams, a code."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from sqlite3 import Connection as Sqlite
from typing import Any, Final, NamedTuple

import msgspec

from tests.seed import Row, Seed, SqliteTables

KEY: Final = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # Bytes 0 to 31.
NOW: Final = "2026-10-10T12:00:00Z"

COMMAND: Final = (sys.executable, "-W", "error", "-m", "clearlift_adapters.cli")


class Ended(NamedTuple):
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the one object on stdout."""
        return msgspec.json.decode(self.out, type=dict[str, Any])

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the objects on stdout, one a line."""
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in self.out.splitlines()]

    @property
    def said(self) -> list[str]:
        """Return what the log says, without the rest of its lines."""
        lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in self.err.splitlines()]
        return [line["event"] for line in lines]


class Program:
    """`clearlift-cron` in a folder, with `clearlift.db` there as its database."""

    def __init__(self, folder: Path, raw: Sqlite) -> None:
        self.folder, self.seed = folder, Seed(SqliteTables(raw))
        self._raw = raw
        self.before: Callable[[], None] | None = (
            None  # What a process does first: take a right away.
        )

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        """Run one command line to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            cwd=self.folder,
            env=environment_of(environment),
            timeout=60,
            check=False,
            preexec_fn=self.before,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start one that does not end by itself."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=self.folder,
            env=environment_of(environment),
            preexec_fn=self.before,  # noqa: PLW1509  it takes no lock
        )

    def rows(self, table: str) -> list[Row]:
        """Return a table of the database."""
        return self.seed.rows(table)

    def select(self, statement: str) -> list[Row]:
        """Return the rows of a statement that the program has printed."""
        cursor = self._raw.execute(statement)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def tamper(self, statement: str) -> None:
        """Do to the database what only somebody can who goes past the program."""
        self._raw.execute(statement)


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what a process gets: little of ours, and a time of day of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", "CLEARLIFT_NOW": NOW, **settings}
