"""Looks at every transaction, for what may never be so, however short a time."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clearlift_adapters.stores.memory import ConnectionRow, JobTableRow
from clearlift_adapters.stores.memory.store import stored
from clearlift_engine.stream import Entry
from tests.simulation.providers import ROTATING, Providers, sent_token
from tests.simulation.world import World, at

OPEN: Final = ("pending", "running")
OURS: Final = ("Token refresh failed: ", "Job could not be queued: ")


class Watchman:
    """What was new since the last look is held against the providers' own knowledge."""

    def __init__(self, world: World, providers: Providers) -> None:
        self._world, self._providers = world, providers
        self._known: set[str] = set()
        self._position = 0

    def look(self) -> None:
        """Look at what is new since the last look."""
        db = self._world.db
        for job in reversed(db.jobs.values()):
            if job.id in self._known:
                break
            self._known.add(job.id)
            self._check_open(job)
        while self._position < db.highest_position:
            self._position += 1
            row = db.outbox[self._position]
            conn = db.connection(row.connection_id)
            if conn is not None and row.transition in {"job_created", "sync_failed"}:
                self._check(row, conn, msgspec.json.decode(row.data))

    def _check_open(self, new: JobTableRow) -> None:
        """Never two open jobs of one connection."""
        for job in self._world.db.jobs.values():
            if job.connection_id != new.connection_id or job is new:
                continue
            if self._is_open(job) and self._is_open(new):
                self._world.violation(f"{job.connection_id} has two open jobs: {job.id}, {new.id}")

    def _is_open(self, job: JobTableRow) -> bool:
        mix = self._world.mix
        horizon = self._world.now_ms - mix.job_limit_ms + 2 * mix.skew_ms
        return job.status in OPEN and max(at(job.created_at), at(job.started_at)) > horizon

    def _check(self, row: Entry, conn: ConnectionRow, data: Mapping[str, Any]) -> None:
        marked = (conn.sync_error or "").startswith(OURS)
        if row.transition == "sync_failed":
            if not marked:
                self._world.violation(f"{conn.id} failed, and its row does not say so")
            if data["retry_at"] is None:
                self._check_verdict(conn, data)
            return
        if marked:
            self._world.violation(f"{conn.id} has a job, and its row says that it failed")
        if data["refresh"] is not None and conn.platform in ROTATING:
            self._check_rotation(row, conn)

    def _check_verdict(self, conn: ConnectionRow, data: Mapping[str, Any]) -> None:
        """Nobody is told to reconnect whose grant is good."""
        sent = stored(self._world.db, conn)
        token = sent_token(conn.platform, sent)
        if not isinstance(token, str) or sent.fingerprint != data["credentials"]:
            return
        grant = self._providers.grants[token]
        worthless = conn.platform in ROTATING and token != grant.tokens[-1]
        if not (worthless or grant.dead or grant.lied_about):
            self._world.violation(f"{conn.id} has a good token, and must reconnect")

    def _check_rotation(self, row: Entry, conn: ConnectionRow) -> None:
        """With the job, the token is stored that the same process was given; or a newer one."""
        token = conn.refresh_token_encrypted
        for request in self._providers.requests:
            grant, issued = request.grant, request.issued
            if request.life.name != row.run_id or issued is None or token not in grant.tokens:
                continue
            if grant.tokens.index(token) < grant.tokens.index(issued) and request.told:
                self._world.violation(f"{conn.id} has its job, and not its new token")
