"""An answer is there, and the database does not take it: a rotated token exists nowhere else."""

import os
import resource
import stat
from asyncio.subprocess import Process
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_adapters.rescue import FileRescue
from clearlift_adapters.stores.library import sqlite3
from tests.e2e.program import Program, ended
from tests.given import NOW_MS
from tests.providers.authorization import AuthorizationServer
from tests.providers.steps import MINUTE, called, connect_all, states, stored_tokens


async def says(process: Process, event: str) -> None:
    """Return when a process that runs with -v has logged an event."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if msgspec.json.decode(line)["event"] == event:
            return
    pytest.fail(f"it has ended and not said {event!r}")


async def test_sigterm_between_answer_and_commit_loses_nothing(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_all(program, server, ["a"])
    await server.order("hold", "a")
    process = await program.start("tick", "-v")
    await server.order("held", "a")

    with closing(sqlite3.connect(program.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await server.order("release", "a")
        await says(process, "refreshed")
        process.terminate()
    done = await ended(process)

    [asked] = server.requests()
    assert done.code == 0
    assert stored_tokens(program) == {"a": asked.granted}
    assert states(program) == {"a": "job_created"}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can take a disk away")
async def test_tokens_that_the_database_cannot_take_are_kept_in_a_file_until_it_can(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_all(program, server, ["a"])
    await server.order("hold", "a")
    process = await program.start("tick")
    await server.order("held", "a")

    # From now on nothing is written beyond the first bytes of a file, as on a disk that is full.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2048, 2048))
    await server.order("release", "a")
    done = await ended(process)
    [kept] = (program.folder / "clearlift.db-rescue").iterdir()
    mode, content = kept.stat().st_mode & 0o777, msgspec.json.decode(kept.read_bytes())
    again = await program.done("tick", "--json", now_ms=NOW_MS + 5 * MINUTE)

    [asked] = server.requests()
    assert (done.code, mode) == (5, 0o600)
    assert called(content["refresh"], "a") == asked.granted  # It is encrypted there.
    assert stored_tokens(program) == {"a": asked.granted}
    assert again.report["jobs_created"] == 1
    assert not kept.exists()


async def test_what_is_kept_is_on_the_disk_before_it_counts_as_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "rescue"
    synced: list[tuple[bool, list[str]]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, [file.suffix for file in folder.iterdir()]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    tokens = StoredTokens(StoredCredentials("a", "old", None), "new", None, None, rotated=False)
    await FileRescue(folder).keep(tokens)

    # The folder's own name, the content before it has its name, the name.
    assert synced == [(True, []), (False, [".half"]), (True, [".json"])]
