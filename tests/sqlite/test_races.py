"""Two that have the same file open race on one stream: one of them loses that, and nothing else."""

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clearlift_adapters.backend import open_backend
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.ports import Appended
from clearlift_engine.stream import Stream
from tests.given import DUE, commit, started, take
from tests.sqlite.foreign import copy_of

ROUNDS = 50
# Appends, in each round, to a stream of its own and to one that all share, when told to begin.
RACER = f"""
import asyncio, sys
from clearlift_adapters.backend import open_backend
from tests.given import DUE, commit

async def main(file, name):
    async with open_backend(f"sqlite:///{{file}}") as backend:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range({ROUNDS}):
            shared = commit(f"shared {{number}}", DUE, run_id=name)
            own = commit(f"own {{number}} of {{name}}", DUE, run_id=name)
            appended = await backend.store.append([shared, own])
            assert not appended.refused and appended.lost <= {{f"shared {{number}}"}}, appended
            print(len(appended.lost), end="")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def file(tmp_path: Path, empty_database: Path) -> Path:
    copy_of(empty_database, tmp_path / "clearlift.db").close()
    return tmp_path / "clearlift.db"


def log(file: Path) -> list[tuple[int, str, int, str]]:
    columns = "position, connection_id, version, run_id"
    with closing(sqlite3.connect(file)) as raw:
        return raw.execute(f"SELECT {columns} FROM outbox ORDER BY position").fetchall()


async def test_of_two_connections_one_wins_the_stream_and_both_keep_their_batch(
    file: Path,
) -> None:
    async with open_backend(f"sqlite:///{file}") as one, open_backend(f"sqlite:///{file}") as two:
        batches = [
            [commit("shared", DUE, run_id=name), commit(f"own of {name}", DUE, run_id=name)]
            for name in ("one", "two")
        ]

        appended = await asyncio.gather(one.store.append(batches[0]), two.store.append(batches[1]))

    lost = [each.lost for each in appended]
    assert sorted(map(len, lost)) == [0, 1]
    assert frozenset({"shared"}) in lost
    assert sorted(row[1] for row in log(file)) == ["own of one", "own of two", "shared"]


async def test_whoever_decided_on_an_older_version_loses(file: Path) -> None:
    async with open_backend(f"sqlite:///{file}") as one, open_backend(f"sqlite:///{file}") as two:
        seen: Stream = await take(one.store, commit("c", DUE))
        await take(two.store, commit(seen, started(), run_id="two"))

        appended = await one.store.append([commit(seen, started(), run_id="one")])

    assert appended == Appended(lost=frozenset({"c"}))
    assert [row[2:] for row in log(file)] == [(1, "run"), (2, "two")]


def test_of_two_processes_one_wins_each_stream_and_both_keep_their_batches(file: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(file), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()

    lost = [racer.communicate()[0] for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0]
    assert [sorted(pair) for pair in zip(*lost, strict=True)] == [["0", "1"]] * ROUNDS
    rows = log(file)
    assert [row[0] for row in rows] == list(range(1, 3 * ROUNDS + 1))
    assert len({row[1] for row in rows}) == 3 * ROUNDS
