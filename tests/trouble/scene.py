"""A small installation that a fault strikes: connections, a provider, a file, and its user.

Most commands run in this process, which takes a tenth of the time; whatever is to be killed or to
lose a right is a process of its own.
"""

import asyncio
import io
import logging
import os
import shutil
from collections import Counter
from collections.abc import Generator
from contextlib import chdir, closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from clearlift_adapters.cli import commands
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from tests.cli.program import KEY, Ended, Program, environment_of
from tests.e2e.authority import Authority
from tests.e2e.program import connect
from tests.given import NOW_MS, plain
from tests.seed import Seed, SqliteTables

STEADY: Final = ("a", "b")  # Connections of stripe, whose keys last.
EXPIRING: Final = "g"  # A connection of google, whose token ends in a minute.
LATER_MS: Final = NOW_MS + HOUR_MS
SIDES: Final = ("", "-wal", "-shm", "-journal")  # The file, and what SQLite keeps beside it.


class Scene:
    """The installation, which ticks at NOW_MS when the fault strikes, and later when it is over."""

    def __init__(self, program: Program, authority: Authority) -> None:
        self.program, self.authority = program, authority
        self.file = program.folder / "clearlift.db"
        self.backup = program.folder / "backup"
        self.settings = {"ENCRYPTION_KEY": KEY, **authority.environment}
        self.later_ms = LATER_MS

    def run(self, *arguments: str, now_ms: int = NOW_MS, **environment: str) -> Ended:
        """Run one command line to its end, in this process."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", self._environment(now_ms, environment))
            patch.setattr(logging.getLogger(), "handlers", [])
            with chdir(self.program.folder), redirect_stdout(out), redirect_stderr(err):
                code = commands.run(arguments)
        texts: list[str] = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
        return Ended(code, *texts)

    def run_apart(self, *arguments: str) -> Ended:
        """Run one command line as a process of its own."""
        return self.program.run(*arguments, **self.settings)

    def done(self, *arguments: str, now_ms: int = NOW_MS, **environment: str) -> Ended:
        """Run one command line, which must end with 0."""
        ended = self.run(*arguments, now_ms=now_ms, **environment)
        assert ended.code == 0, ended
        return ended

    def _environment(self, now_ms: int, environment: dict[str, str]) -> dict[str, str]:
        return environment_of({**self.settings, "CLEARLIFT_NOW": iso(now_ms), **environment})

    @contextmanager
    def tables(self) -> Generator[Seed]:
        """Write into the file as other programs do."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as raw:
            yield Seed(SqliteTables(raw))

    def settle(self) -> None:
        """Run everything as cron would from now on: it must find nothing wrong any more."""
        self.done("tick", now_ms=self.later_ms)
        self.done("relay", "--drain", now_ms=self.later_ms)
        self.done("replay", now_ms=self.later_ms)

    def jobs(self) -> Counter[str]:
        """Return how many jobs each connection has, each of which must be in the queue once."""
        with self.tables() as tables:
            jobs = {row["id"]: row["connection_id"] for row in tables.rows("sync_jobs")}
            queued = [row["job_id"] for row in tables.rows("queue_messages")]
        assert sorted(queued) == sorted(jobs)
        return Counter(jobs.values())

    def restore(self) -> None:
        """Put the backup in the place of the file, and take away what belongs to another."""
        for side in SIDES:
            Path(f"{self.file}{side}").unlink(missing_ok=True)
        shutil.copy(self.backup, self.file)


@contextmanager
def opened_scene(folder: Path, empty_database: Path) -> Generator[Scene]:
    """Connect everybody, keep a backup, and serve the provider until the block ends."""
    shutil.copy(empty_database, folder / "clearlift.db")
    authority = Authority()
    with closing(sqlite3.connect(":memory:")) as aside, served(authority):
        # Nothing of this process holds the file open: it is to be replaced, locked and cut.
        stage = Scene(Program(folder, aside), authority)
        with stage.tables() as tables:
            for name in STEADY:
                connect(tables, name, platform="stripe")
            connect(tables, EXPIRING, expires_at=iso(NOW_MS + MINUTE_MS))
        shutil.copy(stage.file, stage.backup)
        yield stage


@contextmanager
def served(authority: Authority) -> Generator[None]:
    """Serve the token endpoints from a thread, for a test that runs the program in its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    serving = authority.serving()
    try:
        asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(10)
        yield
    finally:
        leaving = serving.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(leaving, loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def finish(tables: Seed, ended_ms: int) -> None:
    """Finish every open job, as the consumer does."""
    for job in tables.rows("sync_jobs"):
        if job["status"] in {"pending", "running"}:
            tables.update_job(job["id"], status="completed")
            tables.update_connection(job["connection_id"], last_synced_at=plain(ended_ms))
