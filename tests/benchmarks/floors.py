"""Floors B and C, beside Floor A: what building the rows costs, and what our schema costs.

Run as a process: `python -m tests.benchmarks.floors WHICH WRITTEN EMPTY BATCH`. Like Floor A, both
read what `tick --relay` wrote into WRITTEN, and write it into EMPTY with plain sqlite3: the same
journal, the same durability, transactions of the same size. Floor B builds each row in the loop,
its JSON, ids and hash. Floor C has the rows ready made, and writes five bare ones a connection,
three events, a job and a message, into tables with no index, trigger, constraint or projection.
Prints the seconds that it took, wall and processor.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
import uuid_utils

from clearlift_adapters.stores.library import sqlite3
from tests.benchmarks.floor import Row, Written, opened, read, write

_JSON: Final = msgspec.json.Encoder()
_BARE: Final = "CREATE TABLE {name} ({columns})"
_INSERT: Final = "INSERT INTO {name} VALUES ({places})"
_BARE_TABLES: Final = {"bare_events": 10, "bare_jobs": 6, "bare_messages": 4}


def floor_b(rows: Written, target: "sqlite3.Connection", batch: int) -> Callable[[], None]:
    """Return what builds and writes all rows, of what JSON held."""
    events = {row[0]: msgspec.json.decode(row[9]) for row in rows.entries}
    metadata = {row[0]: msgspec.json.decode(row[5]) for row in rows.jobs}
    bodies = {row[0]: msgspec.json.decode(row[1]) for row in rows.messages}

    def build_and_write() -> None:
        hashes: dict[str, str] = {}
        for start in range(0, len(rows.jobs), batch):
            part = rows.batch(start, batch)
            made = Written(
                [entry(row, events[row[0]], hashes) for row in part.entries],
                [job(row, metadata[row[0]]) for row in part.jobs],
                [(row[0], encoded(bodies[row[0]]), *row[2:]) for row in part.messages],
            )
            write(target, made)

    return build_and_write


def entry(row: Row, event: Mapping[str, Any], hashes: dict[str, str]) -> Row:
    """Return a row of the log, encoded and chained anew."""
    connection_id = row[1]
    columns = (*row[1:9], encoded(event))
    text = _JSON.encode([1, hashes.get(connection_id), *columns])
    digest = hashes[connection_id] = sha256(text).hexdigest()
    return (row[0], *columns, digest)


def encoded(value: object) -> str:
    """Return a value as JSON."""
    return _JSON.encode(value).decode()


def job(row: Row, metadata: Mapping[str, Any]) -> Row:
    """Return the row of a job. A new id is made and left, or the other rows would not fit."""
    _ = str(uuid_utils.uuid7())
    return (*row[:5], encoded(metadata))


def floor_c(rows: Written, target: "sqlite3.Connection", batch: int) -> Callable[[], None]:
    """Return what writes the bare rows."""
    for name, columns in _BARE_TABLES.items():
        named = ", ".join(f"c{number}" for number in range(columns))
        target.execute(_BARE.format(name=name, columns=named))
    bare = Written([row[1:] for row in rows.entries], rows.jobs, rows.messages)

    def write_all() -> None:
        for start in range(0, len(rows.jobs), batch):
            part = bare.batch(start, batch)
            write_bare(
                target, bare_events=part.entries, bare_jobs=part.jobs, bare_messages=part.messages
            )

    return write_all


def write_bare(target: "sqlite3.Connection", **tables: Sequence[Row]) -> None:
    """Write one transaction."""
    target.execute("BEGIN IMMEDIATE")
    for name, rows in tables.items():
        places = ", ".join("?" * _BARE_TABLES[name])
        target.executemany(_INSERT.format(name=name, places=places), rows)
    target.execute("COMMIT")


FLOORS: Final = {"b": floor_b, "c": floor_c}


def main(which: str, written: str, empty: str, batch: int) -> None:
    """Measure one of the floors."""
    target = opened(empty)
    run = FLOORS[which](read(written), target, batch)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    sys.stdout.write(f"{time.perf_counter() - wall} {time.process_time() - cpu}\n")
    target.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
