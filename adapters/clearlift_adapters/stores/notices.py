"""The port Notices on a SQL database."""

from collections.abc import Collection, Sequence
from typing import Final

from clearlift_adapters.stores.queries import bind, load
from clearlift_adapters.stores.sql import Database, Step
from clearlift_engine.notices import Changes, DeadGrant

_SQL: Final = load("notices.sql")
_TOLD_ALERTS: Final = bind(_SQL, "told_alerts")
_UNTOLD_GRANTS: Final = bind(_SQL, "untold_grants", "limit")
_NOTE: Final = bind(_SQL, "note", "kind", "subject", "about", "told_at")
_FORGET: Final = bind(_SQL, "forget", "kind", "subject")


class SqlNotices:
    """The port Notices."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def told_alerts(self) -> Collection[str]:
        return {row[0] for row in await self._db.read(_TOLD_ALERTS)}

    async def untold_grants(self, *, limit: int) -> Sequence[DeadGrant]:
        return [DeadGrant(*row) for row in await self._db.read(_UNTOLD_GRANTS, limit)]

    async def note(self, changes: Changes, *, now_ms: int) -> None:
        fired = [("alert", alert.name, "", now_ms) for alert in changes.fired]
        grants = [
            ("dead_grant", each.connection_id, each.credentials, now_ms) for each in changes.grants
        ]
        cleared = [("alert", alert.name) for alert in changes.cleared]
        steps: list[Step] = [(_NOTE, [*fired, *grants]), (_FORGET, cleared)]
        await self._db.write([(query, rows) for query, rows in steps if rows])
