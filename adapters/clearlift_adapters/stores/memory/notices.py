"""The port Notices over plain dicts."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from clearlift_adapters.stores.memory.tables import MemoryDatabase, NoticeRow
from clearlift_engine.notices import Changes, DeadGrant


class MemoryNotices:
    """The port Notices."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def told_alerts(self) -> Collection[str]:
        return {subject for kind, subject in self._db.notices if kind == "alert"}

    async def untold_grants(self, *, limit: int) -> Sequence[DeadGrant]:
        return list(islice(self._untold(), limit))

    async def note(self, changes: Changes, *, now_ms: int) -> None:
        for alert in changes.fired:
            self._tell("alert", alert.name, "", now_ms)
        for grant in changes.grants:
            self._tell("dead_grant", grant.connection_id, grant.credentials, now_ms)
        for alert in changes.cleared:
            self._db.notices.pop(("alert", alert.name), None)

    def _tell(self, kind: str, subject: str, about: str, now_ms: int) -> None:
        self._db.notices[kind, subject] = NoticeRow(
            kind=kind, subject=subject, about=about, told_at=now_ms
        )

    def _untold(self) -> Iterator[DeadGrant]:
        for connection_id in sorted(self._db.state, key=str.encode):
            stream, row = self._db.stream(connection_id), self._db.connection(connection_id)
            if stream.state != "failed" or stream.retry_at is not None or row is None:
                continue
            grant = DeadGrant(connection_id, row.platform, stream.credentials or "")
            told = self._db.notices.get(("dead_grant", connection_id))
            awaited = row.is_active == 1 and stream.paused_at is None
            if awaited and (told is None or told.about != grant.credentials):
                yield grant
