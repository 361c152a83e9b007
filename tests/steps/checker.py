"""What must be true of a database and its providers in the end, read by plain statements.

It shares no code with the engine: it has a table of transitions of its own.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.stores.library import sqlite3
from tests.e2e.program import CIPHER
from tests.seed import Row, SqliteTables
from tests.steps.stage import Providers, Stage

PATHS: Final[Mapping[str | None, set[tuple[str, str]]]] = {
    None: {("fell_due", "due")},
    "due": {
        ("refresh_started", "refreshing"),
        ("job_created", "job_created"),
        ("sync_failed", "failed"),
    },
    "refreshing": {
        ("job_created", "job_created"),
        ("refresh_released", "due"),
        ("sync_failed", "failed"),
    },
    "job_created": {("job_enqueued", "enqueued"), ("sync_failed", "failed")},
    "enqueued": {("fell_due", "due")},
    "failed": {("fell_due", "due")},
}
READ: Final = (
    *("outbox", "sync_jobs", "queue_messages", "connection_state", "platform_connections"),
)


class Facts:
    """All tables that matter, and what is wrong with the file itself."""

    def __init__(self, file: Path) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            self.damage = [row[0] for row in db.execute("PRAGMA integrity_check")]
            self.orphans = db.execute("PRAGMA foreign_key_check").fetchall()
            tables = SqliteTables(db)
            self.tables: dict[str, list[Row]] = {name: tables.rows(name) for name in READ}
        self.lives: dict[str, list[Row]] = defaultdict(list)
        for row in self.tables["outbox"]:
            self.lives[row["connection_id"]].append(row)

    def of(self, table: str, **columns: str) -> list[Row]:
        """Return the rows of a table that have these values."""
        return [
            row
            for row in self.tables[table]
            if all(row[name] == value for name, value in columns.items())
        ]


def wrongs_of_file(facts: Facts) -> Iterable[str]:
    """Yield what is wrong with the file, or with any path in the log."""
    if facts.damage != ["ok"]:
        yield f"the file is damaged: {facts.damage}"
    if facts.orphans:
        yield f"rows without what they refer to: {facts.orphans}"
    for connection_id, life in facts.lives.items():
        state: str | None = None
        for version, row in enumerate(life, start=1):
            if row["version"] != version or row["source"] != state:
                yield f"{connection_id} has a gap before version {row['version']}"
            if (row["transition"], row["target"]) not in PATHS[state]:
                yield f"{connection_id} went from {state} by {row['transition']}"
            state = row["target"]


def wrongs_of_jobs(facts: Facts) -> Iterable[str]:
    """Yield what is wrong between log, jobs and queue."""
    created = [row for row in facts.tables["outbox"] if row["transition"] == "job_created"]
    enqueued = [row for row in facts.tables["outbox"] if row["transition"] == "job_enqueued"]
    bodies = {row["job_id"]: json.loads(row["data"])["message"] for row in created}
    jobs = Counter(row["id"] for row in facts.tables["sync_jobs"])
    queued = Counter(row["job_id"] for row in facts.tables["queue_messages"])
    if jobs != Counter(bodies.keys()):
        yield f"jobs {sorted(jobs.elements())} where the log made {sorted(bodies)}"
    if queued != Counter(row["job_id"] for row in enqueued):
        yield f"the queue holds {queued}, and the log says otherwise"
    for row in facts.tables["queue_messages"]:
        if json.loads(row["body"]) != bodies.get(row["job_id"]):
            yield f"the message of {row['job_id']} is not the one in the log"


def wrongs_of_cycle(facts: Facts, expected: Sequence[str]) -> Iterable[str]:
    """Yield which connections have not exactly one job with its message, or are on their way."""
    for connection_id in expected:
        life = [row["transition"] for row in facts.lives[connection_id]]
        if life.count("job_created") != 1 or life.count("job_enqueued") != 1:
            yield f"{connection_id} has not exactly one job and one message: {life}"
        if [row["state"] for row in facts.of("connection_state", connection_id=connection_id)] != [
            "enqueued"
        ]:
            yield f"{connection_id} does not stand where it should"
    for row in facts.of("platform_connections", sync_status="failed"):
        if row["id"] in expected:
            yield f"{row['id']} is marked as failed"


def wrongs_of_tokens(facts: Facts, providers: Providers, cipher: FieldCipher) -> Iterable[str]:
    """Yield which tokens were sent more often than allowed, or are not the newest."""
    sent = Counter(providers.sent)
    for row in facts.tables["platform_connections"]:
        first, name = f"rt-{row['id']}", row["id"]
        life = [each["transition"] for each in facts.lives[name]]
        for token in (first, providers.renewed.get(first)):
            if token is not None and sent[token] > 1 + reasons(facts.lives[name]):
                yield f"{token} was sent {sent[token]} times, {life}"
        if row["refresh_token_encrypted"] is None or name in lost(facts):
            continue
        field = row["refresh_token_encrypted"]
        stored = cipher.open(field, connection_id=name, column="refresh_token_encrypted")
        if stored != providers.newest(first):
            yield f"{name} has lost its newest refresh token: {life}"


def reasons(life: Sequence[Row]) -> int:
    """Return how often the log has a reason to send a token again.

    A lease that ran out, an answer that was lost, a failure after which it was tried another time.
    """
    found = 0
    for row in life:
        data: Row = json.loads(row["data"])
        refresh: Row = data.get("refresh") or data
        attempts: int = refresh.get("attempts", 0)
        again = row["transition"] == "refresh_released" or data.get("class") == "transient"
        found += again + max(attempts - 1, 0)
    return found


def lost(facts: Facts) -> list[str]:
    """Return whose rotated token is recorded as lost with an answer that nobody got."""
    return [
        connection_id
        for connection_id, life in facts.lives.items()
        if life[-1]["transition"] == "sync_failed"
        and json.loads(life[-1]["data"]).get("code") == "rotation_lost"
    ]


def wrongs_of_rest(stage: Stage) -> Iterable[str]:
    """Yield what was left behind beside the database."""
    rescue = stage.folder / "clearlift.db-rescue"
    if rescue.exists() and list(rescue.iterdir()):
        yield f"tokens wait in {sorted(each.name for each in rescue.iterdir())}"


def wrongs(stage: Stage, expected: Sequence[str], cipher: FieldCipher = CIPHER) -> list[str]:
    """Return everything that is wrong with a database on which all is done."""
    facts = Facts(stage.program.file)
    gone = lost(facts)
    served = [connection_id for connection_id in expected if connection_id not in gone]
    return [
        *wrongs_of_file(facts),
        *wrongs_of_jobs(facts),
        *wrongs_of_cycle(facts, served),
        *wrongs_of_tokens(facts, stage.providers, cipher),
        *wrongs_of_rest(stage),
    ]
