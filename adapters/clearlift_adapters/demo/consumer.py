"""A queue consumer as ClearLift's will be one: it pulls, claims, works, writes what came of it.

The claim is what makes a message one effect, however often it is delivered: only who moves the
job from 'pending' to 'running' works on it. This one is not always quick and not always lucky, and
once it dies with messages in its hands.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import Final, Literal

import msgspec

from clearlift_adapters.queues.inbox import Delivery, Inbox
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import Database, Step, Value
from clearlift_engine.events import SyncJobMessage
from clearlift_engine.policy import MINUTE_MS, iso

VISIBILITY_MS: Final = 30 * MINUTE_MS  # Shorter than the slowest job: its message comes twice.
SLOW_MS: Final = 50 * MINUTE_MS
USUAL_MS: Final = (MINUTE_MS // 2, 5 * MINUTE_MS)
PULLED_AT_ONCE: Final = 500

SLOW, FAILING, RETURNED = 0.01, 0.007, 0.01  # How many of all jobs.

DIED: Final = "the consumer died while it ran this job"
REFUSED: Final = "the platform refused this report"

_CLAIM: Final = Query(
    "claim",
    "UPDATE sync_jobs SET status = 'running', started_at = ?2 WHERE id = ?1 AND status = 'pending'",
)
_SYNCING: Final = Query(
    "syncing", "UPDATE platform_connections SET sync_status = 'syncing' WHERE id = ?1"
)
_COMPLETE: Final = Query(
    "complete",
    """
    UPDATE sync_jobs SET status = 'completed', completed_at = ?2, records_synced = ?3
    WHERE id = ?1 AND status = 'running'
    """,
)
_SYNCED: Final = Query(
    "synced",
    """
    UPDATE platform_connections
    SET sync_status = 'completed', sync_error = NULL, last_synced_at = ?2
    WHERE id = ?1
    """,
)
_FAIL: Final = Query(
    "fail",
    """
    UPDATE sync_jobs SET status = 'failed', completed_at = ?2, error_message = ?3
    WHERE id = ?1 AND status = 'running'
    """,
)
_NOT_SYNCED: Final = Query(
    "not_synced",
    "UPDATE platform_connections SET sync_status = 'failed', sync_error = ?2 WHERE id = ?1",
)
_GIVE_BACK: Final = Query(
    "give_back",
    """
    UPDATE sync_jobs SET status = 'pending', started_at = NULL
    WHERE id = ?1 AND status = 'running'
    """,
)
_PENDING_AGAIN: Final = Query(
    "pending_again", "UPDATE platform_connections SET sync_status = 'pending' WHERE id = ?1"
)

Ending = Literal["completed", "failed", "given_back"]


class _Running(msgspec.Struct, frozen=True):
    """A job that this consumer has claimed, and how it will end."""

    message: SyncJobMessage
    lease_id: str
    ends_at: int
    ending: Ending


class Consumer:
    """The one consumer of the queue."""

    def __init__(self, db: Database, inbox: Inbox, random: Random) -> None:
        self.delivered: Counter[str] = Counter()  # Job ids.
        self.ended: Counter[str] = Counter()  # Those that were completed, or failed for good.
        self.without_effect = 0  # Deliveries of a job that was claimed before.
        self._db, self._inbox, self._random = db, inbox, random
        self._running: list[_Running] = []
        self._state: Literal["alive", "dying", "dead"] = "alive"

    def die(self) -> None:
        """Die in the middle of the next work."""
        self._state = "dying"

    async def come_back(self, now_ms: int) -> None:
        """Start again: what was under way is given up, for nobody knows how far it had got."""
        self._state = "alive"
        died, self._running = self._running, []
        await self._end([(running, "failed", now_ms, DIED) for running in died])

    async def work(self, now_ms: int, until_ms: int) -> None:
        """Take what is in the queue; end what ends before `until_ms`."""
        if self._state == "dead":
            return
        while deliveries := await self._inbox.pull(
            PULLED_AT_ONCE, visibility_ms=VISIBILITY_MS, now_ms=now_ms
        ):
            self.delivered.update(delivery.job_id for delivery in deliveries)
            if self._state == "dying":
                await self._claim(deliveries[: len(deliveries) // 2], now_ms)
                self._state = "dead"
                return
            await self._claim(deliveries, now_ms)
        over = [running for running in self._running if running.ends_at <= until_ms]
        self._running = [running for running in self._running if running.ends_at > until_ms]
        await self._end([(each, each.ending, each.ends_at, REFUSED) for each in over])

    async def _claim(self, deliveries: Sequence[Delivery], now_ms: int) -> None:
        at = iso(now_ms)
        claims = await self._db.write([(_CLAIM, [(each.job_id, at)]) for each in deliveries])
        syncing: list[Sequence[Value]] = []
        repeats: list[str] = []
        for delivery, claimed in zip(deliveries, claims, strict=True):
            if not claimed:
                repeats.append(delivery.lease_id)
                continue
            message = msgspec.json.decode(delivery.body, type=SyncJobMessage)
            lasts_ms, ending = self._fate()
            self._running.append(_Running(message, delivery.lease_id, now_ms + lasts_ms, ending))
            syncing.append((message.connection_id,))
        self.without_effect += len(repeats)
        await self._db.write([(_SYNCING, syncing)])
        if repeats:
            await self._inbox.ack(repeats)

    def _fate(self) -> tuple[int, Ending]:
        draw = self._random.random()
        if draw < SLOW:
            return SLOW_MS, "completed"
        usual = self._random.randint(*USUAL_MS)
        if draw < SLOW + FAILING:
            return usual, "failed"
        return usual, "given_back" if draw < SLOW + FAILING + RETURNED else "completed"

    async def _end(self, endings: Sequence[tuple[_Running, Ending, int, str]]) -> None:
        """Write how jobs ended, and settle with the queue; first the one and then the other."""
        steps: dict[Query, list[Sequence[Value]]] = defaultdict(list)
        settled: list[str] = []
        returned: list[str] = []
        for running, ending, at_ms, error in endings:
            job_id, connection_id = running.message.job_id, running.message.connection_id
            match ending:
                case "completed":
                    records = self._random.randrange(2_000)
                    steps[_COMPLETE].append((job_id, iso(at_ms), records))
                    # Not when it ended: what happened since the window's end is yet to be fetched.
                    steps[_SYNCED].append((connection_id, self._written(running.message)))
                case "failed":
                    steps[_FAIL].append((job_id, iso(at_ms), error))
                    steps[_NOT_SYNCED].append((connection_id, error))
                case "given_back":
                    steps[_GIVE_BACK].append((job_id,))
                    steps[_PENDING_AGAIN].append((connection_id,))
                    returned.append(running.lease_id)
                    continue
            settled.append(running.lease_id)
            self.ended[job_id] += 1
        if steps:
            changes: list[Step] = list(steps.items())
            await self._db.write(changes)
            await self._inbox.ack(settled)
            await self._inbox.retry(
                returned, delay_ms=10 * MINUTE_MS, now_ms=max(at for _, _, at, _ in endings)
            )

    def _written(self, message: SyncJobMessage) -> str:
        """Return the end of a window in one or the other form that occurs in that column."""
        end = message.sync_window.end
        return end if self._random.random() < 1 / 2 else end[:19].replace("T", " ")
