"""What must hold after every step, worked out from the raw tables by other means than the engine's.

Nothing here knows the engine's machine, its rules or its fold: the states below are those of the
product's description, and the arithmetic is that of a person with the tables before them.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tests.seed import Row, Seed

HOUR_MS: Final = 3_600_000
JOB_LIMIT_MS: Final = 4 * 24 * HOUR_MS
NEARLY_MS: Final = 2_000  # Within that of a limit, either answer is right: SQL counts in seconds.

LEADS_TO: Final[Mapping[str, str | None]] = {
    "fell_due": "due",
    "refresh_started": "refreshing",
    "refresh_released": "due",
    "job_created": "job_created",
    "job_enqueued": "enqueued",
    "sync_failed": "failed",
    "paused": None,  # Wherever it is, there it stays; a new one is then due.
    "resumed": None,
    "retry_requested": None,
}

BEGINS: Final = ("fell_due", "refresh_started")


class Life(NamedTuple):
    """One connection, as its rows of the log tell it."""

    state: str
    version: int
    hash: str
    job_id: str | None
    paused: bool
    created: Sequence[str]  # Its jobs, in their order.
    retry_at: int | None  # If it has failed; None: when its credentials change.


def lives(seed: Seed) -> Mapping[str, Life]:
    """Return what became of each connection; every row must follow the one before."""
    found: dict[str, Life] = {}
    rows = sorted(seed.rows("outbox"), key=lambda row: row["position"])
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        before = found.get(row["connection_id"])
        assert row["version"] == (1 if before is None else before.version + 1)
        assert row["source"] == (None if before is None else before.state)
        found[row["connection_id"]] = _lived(before, row)
    return found


def _lived(before: Life | None, row: Row) -> Life:
    transition = row["transition"]
    state = LEADS_TO[transition] or (before.state if before is not None else "due")
    assert row["target"] == state
    created = list(before.created) if before is not None else []
    if transition == "job_created":
        message = json.loads(row["data"])["message"]
        assert message["job_id"] == row["job_id"] not in created
        assert message["connection_id"] == row["connection_id"]
        created.append(row["job_id"])
    paused = before is not None and before.paused
    assert not (paused and transition in BEGINS), "a paused connection is left alone"
    paused = {"paused": True, "resumed": False}.get(transition, paused)
    retry_at = before.retry_at if before is not None else None
    if transition in {"sync_failed", "retry_requested"}:
        retry_at = json.loads(row["data"])["retry_at"]
    return Life(state, row["version"], row["hash"], row["job_id"], paused, created, retry_at)


def check(seed: Seed, acknowledged: set[str]) -> None:
    """Hold the tables against the log, and each other."""
    found = lives(seed)
    projected = {row["connection_id"]: row for row in seed.rows("connection_state")}
    assert projected.keys() == found.keys()
    for connection_id, life in found.items():
        row = projected[connection_id]
        shown = (row["state"], row["version"], row["hash"], row["paused_at"] is not None)
        assert shown == (life.state, life.version, life.hash, life.paused)
    for row in seed.rows("platform_connections"):
        if row["sync_status"] == "failed" and row["id"] in found:
            assert found[row["id"]].state not in {"job_created", "enqueued"}
    _check_jobs(seed, found)
    _check_queue(seed, found, acknowledged)


def _check_jobs(seed: Seed, found: Mapping[str, Life]) -> None:
    """Every job of the log has its row and every row is of the log, each for its connection."""
    created = {job_id: name for name, life in found.items() for job_id in life.created}
    rows = {row["id"]: row["connection_id"] for row in seed.rows("sync_jobs")}
    assert rows == created


def _check_queue(seed: Seed, found: Mapping[str, Life], acknowledged: set[str]) -> None:
    """At most one message for each job, and none that was not handed over, or is done with."""
    queued = Counter(row["job_id"] for row in seed.rows("queue_messages"))
    assert set(queued.values()) <= {1}
    waiting = {life.created[-1] for life in found.values() if life.state == "job_created"}
    assert not queued.keys() & waiting
    assert not queued.keys() & acknowledged
    handed_over = {life.created[-1] for life in found.values() if life.state == "enqueued"}
    recorded = {row["job_id"] for row in seed.rows("outbox") if row["transition"] == "job_enqueued"}
    assert handed_over <= recorded
    assert queued.keys() <= recorded


def opened_at(job: Row) -> int:
    """Return the last sign of life of a job."""
    return max(ms_of(job["created_at"]) or 0, ms_of(job["started_at"]) or 0)


def is_open(job: Row) -> bool:
    return job["status"] in {"pending", "running"}


def ms_of(text: Any) -> int | None:  # noqa: ANN401  a column of SQLite may hold anything
    """Return a time of either format in ms; None for what is none."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return round(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)


def may_be_tried(life: Life | None, now_ms: int, *, reconnected: bool) -> bool:
    """Return whether a connection may fall due as far as its failures are concerned."""
    if life is None or life.state != "failed" or reconnected:
        return True
    if life.retry_at is None:
        return False
    return life.retry_at <= now_ms or life.retry_at > now_ms + 12 * HOUR_MS  # A wrong clock's.


def should_get_a_job(
    connection: Row, jobs: Sequence[Row], life: Life | None, interval_ms: int, now_ms: int
) -> bool | None:
    """Return whether a tick must create a job for a connection whose token never needs a refresh.

    None where both are right: some limit is only just reached.
    """
    held = life is not None and (life.paused or life.state == "job_created")
    if connection["is_active"] != 1 or held:
        return False
    synced_at = ms_of(connection["last_synced_at"])
    # What has passed, and what must have passed by now.
    waits = [(now_ms - opened_at(job), JOB_LIMIT_MS) for job in jobs if is_open(job)]
    waits += [] if synced_at is None else [(now_ms - synced_at, interval_ms)]
    if any(passed < limit - NEARLY_MS for passed, limit in waits):
        return False
    return True if all(passed > limit + NEARLY_MS for passed, limit in waits) else None
