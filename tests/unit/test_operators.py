"""What operators say takes effect at the next tick, and harms nothing that is under way."""

import pytest

from clearlift_engine import operators
from clearlift_engine.operators import Answer
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Refused
from clearlift_engine.replay import replay
from tests.given import NOW_MS, SCHEDULE, job_commit, take
from tests.unit.test_relay_limits import with_odd
from tests.watched import once
from tests.worker import Worker

DEAD = Refused("permanent", "the grant is dead", code="invalid_grant")


async def say(worker: Worker, word: str, connection_id: str = "c") -> Answer:
    """Say one word about one connection, now."""
    store, at_ms = worker.world.store, worker.clock.now_ms
    if word == "retry":
        answer = await operators.retry(
            store, connection_id, schedule=SCHEDULE, reason=None, by="ann", at_ms=at_ms, run_id="r"
        )
    else:
        speak = operators.pause if word == "pause" else operators.resume
        answer = await speak(store, connection_id, reason="why", by="ann", at_ms=at_ms, run_id="r")
    assert answer is not None
    return answer


async def test_connection_never_seen_is_paused_and_served_once_it_is_resumed(
    worker: Worker,
) -> None:
    worker.seed.add_connection("c")
    paused = await say(worker, "pause")
    await worker.tick_later()
    before = worker.jobs()

    await say(worker, "resume")
    await worker.tick_later()

    assert (paused.outcome, paused.stream.state, paused.stream.version) == ("recorded", "due", 1)
    assert (before, worker.jobs()) == ([], ["c"])


async def test_pause_outlives_a_reconnect(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DEAD)
    await worker.tick()
    await say(worker, "pause")

    worker.seed.update_connection("c", refresh_token_encrypted="another")
    await worker.tick_later()

    assert (worker.state("c"), worker.jobs()) == ("failed", [])


@pytest.mark.parametrize("word", ["pause", "retry"])
async def test_answer_that_comes_after_an_operators_word_is_kept(worker: Worker, word: str) -> None:
    worker.expiring("c", platform="tiktok")

    async def speak() -> None:
        await say(worker, word)

    worker.watch = once("refresher.refresh", "after", speak)
    outcome = await worker.tick()

    assert (outcome.report.refreshed, worker.state("c")) == (1, "job_created")
    assert worker.connection("c")["refresh_token_encrypted"] == "refresh-1"
    assert (await replay(worker.world.archive)).violations == []


async def test_refusal_that_comes_after_a_pause_is_kept(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DEAD)

    async def speak() -> None:
        await say(worker, "pause")

    worker.watch = once("refresher.refresh", "after", speak)
    await worker.tick()

    [conn] = await worker.world.store.find(["c"])
    assert (conn.stream.state, conn.stream.retry_at) == ("failed", None)
    assert conn.stream.paused_at is not None


async def test_job_of_a_paused_connection_is_delivered(worker: Worker) -> None:
    worker.seed.add_connection("c")
    await take(worker.world.store, job_commit("c"))
    await say(worker, "pause")

    report = await worker.relay()

    assert (report.delivered, worker.state("c")) == (1, "enqueued")
    assert (await replay(worker.world.archive)).violations == []


async def test_delivery_that_a_pause_overtakes_is_recorded(worker: Worker) -> None:
    worker.seed.add_connection("c")
    await take(worker.world.store, job_commit("c"))

    async def speak() -> None:
        await say(worker, "pause")

    worker.watch = once("store.append", "before", speak)
    report = await worker.relay()

    assert (report.delivered, report.pending, worker.state("c")) == (1, 0, "enqueued")


async def test_retry_lets_the_next_tick_ask_again_about_a_grant_that_counts_as_dead(
    worker: Worker,
) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DEAD)
    await worker.tick()

    answer = await say(worker, "retry")
    await worker.tick_later()

    assert (answer.outcome, worker.jobs()) == ("recorded", ["c"])


async def test_retry_says_what_else_keeps_a_connection_from_its_next_tick(worker: Worker) -> None:
    worker.expiring("c")
    worker.refresher.script("c", DEAD)
    await worker.tick()
    worker.seed.update_connection("c", is_active=0)
    inactive = await say(worker, "retry")
    worker.seed.update_connection("c", is_active=1)
    await say(worker, "pause")

    paused = await say(worker, "retry")

    assert (inactive.outcome, paused.outcome) == ("refused", "refused")
    assert inactive.detail == "nothing to retry: the connection is not active"
    assert paused.detail == "nothing to retry: an operator has paused it"


async def test_word_that_changes_nothing_is_not_recorded(worker: Worker) -> None:
    worker.seed.add_connection("c")

    answers = [await say(worker, word) for word in ("resume", "retry", "pause", "pause")]

    assert [answer.outcome for answer in answers] == ["already", "already", "recorded", "already"]
    assert len(worker.life("c")) == 1
    assert NOW_MS <= (answers[-1].stream.paused_at or 0) < NOW_MS + HOUR_MS


async def test_word_that_the_database_refuses_is_refused_and_says_why(worker: Worker) -> None:
    worker.seed.add_connection("c")
    with_odd(worker, full=["c"])

    answer = await say(worker, "pause")

    assert (answer.connection_id, answer.outcome) == ("c", "refused")
    assert answer.detail == "the database refuses it: full"
    assert answer.stream.paused_at is None


async def test_connection_that_is_not_there_gets_no_answer(worker: Worker) -> None:
    answer = await operators.pause(
        worker.world.store, "nobody", reason="why", by="ann", at_ms=NOW_MS, run_id="r"
    )

    assert answer is None
