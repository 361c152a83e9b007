"""Connections in every condition at once, to compare a store with the reference."""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from clearlift_engine.events import Event
from clearlift_engine.policy import HOUR_MS, iso
from tests.given import DUE, ENQUEUED, NOW_MS, ago, commit, created, failed, plain, started, take
from tests.seed import Value
from tests.world import World

SIZE: Final = 500
LAST_SYNCED: Final = (
    *(None, "", "garbage", "now"),
    *(plain(ago(hours=2)), iso(ago(hours=2)), iso(ago(days=30))),
    *(plain(ago(minutes=59)), iso(ago(hours=1)), plain(ago(hours=1, seconds=1))),
    iso(NOW_MS + HOUR_MS),
)
STATUSES: Final = (None, "pending", "pending", "completed", "failed", "weird", "syncing", "syncing")
EXPIRES: Final = (None, "odd", plain(ago(days=1)), iso(NOW_MS + 60_000), iso(NOW_MS + HOUR_MS))
INTERVALS: Final = (None, None, None, 600, 7200, 86_400)
LIVES: Final = (
    *("none", "none", "due", "live lease", "ended lease", "waiting", "enqueued", "enqueued lately"),
    *("backoff", "retry", "dead", "reconnected"),
)
JOBS: Final[Sequence[dict[str, Value] | None]] = [
    None,
    None,
    None,
    {"status": "pending", "created_at": iso(ago(hours=1))},
    {"status": "running", "created_at": plain(ago(days=5)), "started_at": iso(ago(hours=1))},
    {"status": "pending", "created_at": plain(ago(days=5))},
    {"status": "running", "created_at": iso(ago(days=9)), "started_at": plain(ago(days=4))},
    {"status": "completed", "created_at": iso(ago(hours=1))},
    {"status": "pending", "created_at": "garbage"},
]


async def crowd(world: World, rng: random.Random) -> None:
    """Fill a world with SIZE connections; the same `rng` makes the same ones."""
    for number in range(SIZE):
        connection_id = f"c{number}"
        world.seed.add_connection(
            connection_id,
            organization_id=f"org {rng.randrange(20)}",
            platform=rng.choice(("google", "facebook", "tiktok", "stripe", "other")),
            last_synced_at=rng.choice(LAST_SYNCED),
            sync_status=rng.choice(STATUSES),
            expires_at=rng.choice(EXPIRES),
            is_active=rng.choice((1, 1, 1, 1, 1, 1, 0, None)),
            connected_at=rng.choice((None, iso(ago(hours=1)), plain(ago(days=60)))),
        )
        interval_s = rng.choice(INTERVALS)
        if interval_s is not None:
            world.seed.set_interval(connection_id, interval_s)
        job = rng.choice(JOBS)
        if job is not None:
            world.seed.add_job(f"job of {connection_id}", connection_id, **job)
        await live(world, connection_id, rng.choice(LIVES))


async def live(world: World, connection_id: str, life: str) -> None:
    """Give a connection its stream."""
    if life == "none":
        return
    [sent] = await world.vault.credentials([connection_id])
    dead = failed(retry_at=None, credentials=sent.fingerprint)
    lives: Mapping[str, Sequence[Event]] = {
        "due": [],
        "live lease": [started(lease_until=NOW_MS + 1)],
        "ended lease": [started(lease_until=NOW_MS)],
        "waiting": [created(connection_id)],
        "enqueued": [created(connection_id), ENQUEUED],
        "enqueued lately": [created(connection_id), ENQUEUED],
        "backoff": [failed(retry_at=NOW_MS + 1)],
        "retry": [failed(retry_at=NOW_MS)],
        "dead": [dead],
        "reconnected": [dead],
    }
    at_ms = ago(hours=1) if life == "enqueued lately" else ago(days=6)
    await take(world.store, commit(connection_id, DUE, *lives[life], at_ms=at_ms))
    if life == "reconnected":
        world.seed.update_connection(connection_id, credentials_encrypted="new")
