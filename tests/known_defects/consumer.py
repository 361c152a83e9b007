"""What stands on the other side of the worker: a queue, a consumer, and death."""

from collections.abc import Sequence

import msgspec

from clearlift_adapters.queues.inbox import StoredMessage
from clearlift_engine.events import SyncJobMessage
from clearlift_engine.policy import iso
from tests.watched import Side
from tests.worker import Worker


class KilledError(BaseException):
    """The process died: nothing catches it, and nothing is put in order."""


async def messages(worker: Worker) -> Sequence[SyncJobMessage]:
    """Return what lies in the queue, oldest first."""
    stored: Sequence[StoredMessage] = await worker.world.inbox.peek(limit=10_000)
    return [msgspec.json.decode(each.body, type=SyncJobMessage) for each in stored]


def finish_all(worker: Worker) -> None:
    """Do all open jobs, as the queue consumer does, at this moment."""
    now = iso(worker.clock.now_ms)
    for row in worker.seed.rows("sync_jobs"):
        worker.seed.update_job(row["id"], status="completed", completed_at=now)
        worker.seed.update_connection(
            row["connection_id"], last_synced_at=now, sync_status="completed"
        )


class DiesAt:
    """A watch that lets some calls of one port pass, and dies at the next."""

    def __init__(self, name: str, side: Side, *, passes: int) -> None:
        self._name, self._side, self._passes = name, side, passes

    async def __call__(self, name: str, side: Side) -> None:
        if (name, side) != (self._name, self._side):
            return
        if self._passes == 0:
            raise KilledError
        self._passes -= 1
