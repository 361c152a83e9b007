"""New tokens whose stream was moved meanwhile: stored on it as it is now, or kept for later."""

import pytest

from clearlift_engine.committer import ADOPTIONS_MAX
from clearlift_engine.errors import UnavailableError
from clearlift_engine.events import FellDue, RefreshReleased, decode
from tests.given import NOW_MS, commit, failed, take
from tests.watched import Side, fails, nobody
from tests.worker import Worker


async def move(worker: Worker) -> None:
    """Move a stream as rivals might: it fails, falls due, fails."""
    [conn] = await worker.world.store.find(["c"])
    due = FellDue(reason="retry", last_synced_at=None)
    event = due if conn.stream.state == "failed" else failed(retry_at=NOW_MS)
    await take(worker.world.store, commit(conn.stream, event))


def stored(worker: Worker) -> str:
    return str(worker.connection("c")["refresh_token_encrypted"])


async def test_tokens_whose_stream_moves_again_and_again_are_kept_for_the_next_tick(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    tried: list[str] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before") and worker.asked():
            tried.append(name)
            await move(worker)

    worker.watch = watch
    await worker.tick()

    assert len(tried) == 1 + ADOPTIONS_MAX
    assert worker.heard("could not be stored") == [{"connection_id": "c"}]
    assert [each.connection_id for each in await worker.rescue.kept()] == ["c"]
    worker.watch = nobody
    await worker.tick_later()
    assert (stored(worker), worker.asked()) == ("refresh-1", ["c"])
    assert await worker.rescue.kept() == []


async def test_tokens_are_kept_if_the_database_stays_away_when_they_could_be_stored_after_all(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    away = False

    async def watch(name: str, side: Side) -> None:
        nonlocal away
        if (name, side) == ("refresher.refresh", "after"):
            await move(worker)
        away = away or (bool(worker.asked()) and (name, side) == ("vault.credentials", "after"))
        if away and (name, side) == ("store.append", "before"):
            raise UnavailableError("away")

    worker.watch = watch
    with pytest.raises(UnavailableError):
        await worker.tick()

    assert len(await worker.rescue.kept()) == 1
    worker.watch = nobody
    await worker.tick_later()
    assert (stored(worker), worker.asked()) == ("refresh-1", ["c"])


async def test_tokens_that_the_database_takes_after_all_are_kept_no_longer(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    failures: list[str] = []

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before") and worker.asked() and not failures:
            failures.append(name)
            raise UnavailableError("away")

    worker.watch = watch
    await worker.tick()

    assert (stored(worker), worker.jobs()) == ("refresh-1", ["c"])
    assert await worker.rescue.kept() == []


async def test_tokens_are_brought_home_past_a_claim_whose_lease_holds(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")

    worker.watch = fails("store.append", UnavailableError("away"), worker.asked)
    with pytest.raises(UnavailableError):
        await worker.tick()
    worker.watch = nobody

    await worker.tick()
    assert (stored(worker), worker.life("c")) == ("refresh-1", ["fell_due", "refresh_started"])
    await worker.tick_later()
    assert (worker.jobs(), worker.asked()) == (["c"], ["c"])


async def test_tokens_that_lost_their_place_are_kept_until_they_are_stored(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")
    kept: dict[str, int] = {}

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before") and worker.asked() and not kept:
            await move(worker)
            kept["when the database is away"] = 0
            raise UnavailableError("away")
        if (name, side) == ("vault.credentials", "before") and kept:
            kept["while they are adopted"] = len(await worker.rescue.kept())

    worker.watch = watch
    await worker.tick()

    assert kept["while they are adopted"] == 1
    assert (stored(worker), await worker.rescue.kept()) == ("refresh-1", [])


async def test_late_tokens_end_the_claim_of_a_dead_worker_and_say_so(worker: Worker) -> None:
    worker.expiring("c", platform="tiktok")

    worker.watch = fails("store.append", UnavailableError("away"), worker.asked)
    with pytest.raises(UnavailableError):
        await worker.tick()
    worker.watch = nobody
    worker.said.clear()

    await worker.tick_later()

    why = "the stream was moved meanwhile; the new tokens are stored"
    events = [decode(row["transition"], row["data"]) for row in worker.seed.rows("outbox")]
    [back] = [event for event in events if isinstance(event, RefreshReleased)]
    assert (back.reason, back.detail, back.provider) == ("interrupted", why, "tiktok")
    assert worker.heard("deferred") == [{"connection_id": "c", "why": why}]
