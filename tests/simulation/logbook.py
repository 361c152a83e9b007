"""The checker's own reading of the log: paths, versions, hashes, times, and the fold.

Nothing here is shared with the engine. The rules are written out once more, from design.md, so that
a mistake in one of the two cannot hide in the other.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from clearlift_adapters.stores.memory import MemoryDatabase
from clearlift_engine.stream import Entry

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
LEGAL: Final[Mapping[str, tuple[tuple[str | None, ...], str]]] = {
    "fell_due": ((None, "enqueued", "failed"), "due"),
    "refresh_started": (("due",), "refreshing"),
    "job_created": (("due", "refreshing"), "job_created"),
    "job_enqueued": (("job_created",), "enqueued"),
    "refresh_released": (("refreshing",), "due"),
    "sync_failed": (("due", "refreshing", "job_created"), "failed"),
}
STATES: Final = ("due", "refreshing", "job_created", "enqueued", "failed")
# What an operator says moves nothing, but for the first word about a connection.
SAID: Final[Mapping[str, tuple[str | None, ...]]] = {
    "paused": (None, *STATES),
    "resumed": STATES,
    "retry_requested": ("failed",),
}


class Folded:
    """One connection's events, folded by the checker."""

    def __init__(self) -> None:
        self.state: str | None = None
        self.version = self.failures = self.in_doubt = self.changed_at = self.position = 0
        self.hash: str | None = None
        self.job_id: str | None = None
        self.credentials: str | None = None
        self.lease_until: int | None = None
        self.retry_at: int | None = None
        self.paused_at: int | None = None

    def fold(self, row: Entry, data: Mapping[str, Any]) -> None:
        """Take in one more row of the log."""
        if row.transition in SAID:
            self._hear(row, data)
        else:
            self._move(row, data)
        self.state, self.hash, self.changed_at = row.target, row.hash, row.occurred_at
        self.version, self.position = row.version, row.position

    def _hear(self, row: Entry, data: Mapping[str, Any]) -> None:
        match row.transition:
            case "paused":
                self.paused_at = row.occurred_at
            case "resumed":
                self.paused_at = None
            case _:
                self.retry_at = data["retry_at"]

    def _move(self, row: Entry, data: Mapping[str, Any]) -> None:
        self.lease_until = self.retry_at = None
        match row.transition:
            case "refresh_started":
                self.lease_until, self.job_id = data["lease_until"], None
                self.credentials, self.in_doubt = data["credentials"], data["in_doubt"] + 1
            case "refresh_released":
                self.job_id = None
                self.in_doubt = self.in_doubt if data["ambiguous"] else 0
            case "job_created":
                self.failures, self.job_id = 0, data["message"]["job_id"]
                if data["refresh"] is not None:
                    self.credentials, self.in_doubt = None, 0
            case "sync_failed":
                self.failures, self.retry_at = self.failures + 1, data["retry_at"]
                self.credentials = data["credentials"]
                self.in_doubt = self.in_doubt if data["ambiguous"] else 0
            case "fell_due":
                self.job_id = None
            case _:
                pass


class Logbook:
    """The whole log, read stream by stream; `broken` is what was wrong with it."""

    def __init__(self, db: MemoryDatabase, *, exact_clocks: bool) -> None:
        self.broken: list[str] = []
        self.folds: dict[str, Folded] = {}
        self.created: dict[str, tuple[Entry, Mapping[str, Any]]] = {}  # By job id.
        self.enqueued: set[str] = set()  # Job ids.
        self.rejected: set[str] = set()
        self.claims: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self._exact = exact_clocks
        streams: dict[str, list[Entry]] = defaultdict(list)
        for position, row in enumerate(db.outbox.values(), start=1):
            streams[row.connection_id].append(row)
            if row.position != position:
                self._say(row, f"has position {row.position}, not {position}")
        for rows in streams.values():
            self._read(rows)

    def _say(self, row: Entry, what: str) -> None:
        self.broken.append(f"{row.connection_id} version {row.version} ({row.transition}) {what}")

    def _read(self, rows: Sequence[Entry]) -> None:
        folded = self.folds[rows[0].connection_id] = Folded()
        for row in rows:
            data = msgspec.json.decode(row.data)
            self._check(folded, row)
            self._check_promises(folded, row, data)
            self._register(folded, row, data)
            folded.fold(row, data)

    def _check(self, before: Folded, row: Entry) -> None:
        if row.transition in SAID:
            sources, target = SAID[row.transition], before.state or "due"
        else:
            sources, target = LEGAL[row.transition]
        if row.source != before.state or row.source not in sources or row.target != target:
            self._say(row, f"leads from {row.source} to {row.target} after {before.state}")
        if row.version != before.version + 1:
            self._say(row, f"follows version {before.version}")
        if row.occurred_at < before.changed_at:
            self._say(row, "happened before the one before it")
        if row.hash != chained(before.hash, row):
            self._say(row, "has a hash that does not chain")
        if "tok-" in row.data:
            self._say(row, "holds a token")

    def _check_promises(self, before: Folded, row: Entry, data: Mapping[str, Any]) -> None:
        """What was waited for must have been waited for, by the clock of whoever waited."""
        if before.paused_at is not None and row.transition in ("fell_due", "refresh_started"):
            self._say(row, "was begun though the connection is paused")
        if row.transition == "fell_due" and row.source == "failed":
            if (before.retry_at is None) != (data["reason"] == "reconnected"):
                self._say(row, f"is due for the wrong reason, {data['reason']}")
            if self._exact and before.retry_at is not None and row.occurred_at < before.retry_at:
                self._say(row, "was tried again before its time")
        if row.transition == "refresh_released" and data["reason"] == "lease_expired":
            until_ms = before.lease_until
            if until_ms is None or (self._exact and row.occurred_at < until_ms):
                self._say(row, "took a claim whose lease had not run out")

    def _register(self, before: Folded, row: Entry, data: Mapping[str, Any]) -> None:
        match row.transition:
            case "refresh_started":
                claim = data["send_at"], data["lease_until"]
                self.claims[row.connection_id, row.run_id].append(claim)
            case "job_created":
                job_id = data["message"]["job_id"]
                if job_id in self.created:
                    self._say(row, f"creates job {job_id} again")
                self.created[job_id] = row, data["message"]
            case "job_enqueued" if before.job_id is not None:
                self.enqueued.add(before.job_id)
            case "sync_failed" if before.state == "job_created" and before.job_id is not None:
                self.rejected.add(before.job_id)
            case _:
                pass


def chained(previous: str | None, row: Entry) -> str:
    """Return the hash that a row must have, by the text in the engine's stream.py."""
    columns = [1, previous, row.connection_id, row.version, row.transition, row.source, row.target]
    columns += [row.occurred_at, row.run_id, row.job_id, row.data]
    return sha256(_ENCODER.encode(columns).encode()).hexdigest()
