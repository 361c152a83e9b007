"""Work that ends while operators speak: what of a batch is appended again, and what is lost."""

from collections.abc import Sequence

import pytest

from clearlift_engine.committer import ADOPTIONS_MAX, append
from clearlift_engine.events import Event, Paused, Resumed
from clearlift_engine.ports import Appended, Commit
from clearlift_engine.stream import Stream
from tests.given import DUE, NOW_MS, commit, failed, started, take
from tests.watched import Side, watched
from tests.worker import Worker

PAUSED = Paused(reason="why", by="ann")
RESUMED = Resumed(reason="why", by="ann")
RIVAL = failed(retry_at=NOW_MS)


async def under_way(worker: Worker, names: str) -> list[Commit]:
    """Return an outcome for each of some refreshes that have been claimed."""
    for name in names:
        worker.seed.add_connection(name)
    claims = [commit(name, DUE, started()) for name in names]
    await take(worker.world.store, *claims)
    return [commit(claim.after, failed(retry_at=NOW_MS + 1)) for claim in claims]


async def appended(
    worker: Worker, commits: Sequence[Commit], *before: dict[str, Event]
) -> Appended:
    """Append commits; before each attempt, this happens to their streams."""
    attempts = iter(before)
    now: dict[str, Stream] = {each.before.connection_id: each.before for each in commits}

    async def watch(name: str, side: Side) -> None:
        if (name, side) == ("store.append", "before"):
            for connection_id, event in next(attempts, dict[str, Event]()).items():
                moved = commit(now[connection_id], event)
                now[connection_id] = await take(worker.world.store, moved)

    return await append(watched("store", worker.world.store, watch), commits)


async def test_outcome_is_lost_only_if_what_came_before_it_was_no_operators_word(
    worker: Worker,
) -> None:
    commits = await under_way(worker, "abcde")

    became = await appended(
        worker,
        commits,
        {"a": PAUSED, "b": PAUSED, "c": RIVAL, "d": PAUSED},
        {"b": RIVAL, "d": RESUMED},
    )

    assert became == Appended(lost=frozenset("bc"))
    assert [worker.life(name)[2:] for name in "abcde"] == [
        ["paused", "sync_failed"],
        ["paused", "sync_failed"],
        ["sync_failed"],
        ["paused", "resumed", "sync_failed"],
        ["sync_failed"],
    ]


@pytest.mark.parametrize("words", [ADOPTIONS_MAX, ADOPTIONS_MAX + 1])
async def test_outcome_gives_way_to_operators_who_never_stop(worker: Worker, words: int) -> None:
    commits = await under_way(worker, "a")
    said: list[dict[str, Event]] = [{"a": PAUSED}, {"a": RESUMED}] * words

    became = await appended(worker, commits, *said[:words])

    assert became.lost == (frozenset("a") if words > ADOPTIONS_MAX else frozenset())
