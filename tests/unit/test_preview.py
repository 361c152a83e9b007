"""tick --dry-run shows what a tick would do, and does not do it."""

import msgspec
import pytest

from clearlift_engine.events import Event
from clearlift_engine.pacing import Gate, Rate, opened, paused
from clearlift_engine.policy import DAY_MS, HOUR_MS, iso
from clearlift_engine.ports import Provider
from clearlift_engine.preview import TickPlan, preview, preview_of
from clearlift_engine.refresh import PATIENCE_MS
from clearlift_engine.run import TickSettings
from tests.given import DUE, NOW_MS, ago, commit, created, failed, plain, started, take
from tests.seed import Value
from tests.worker import Worker


async def look(worker: Worker) -> TickPlan:
    world = worker.world
    return await preview(
        world.store, world.survey, worker.refresher, worker.settings, now_ms=NOW_MS
    )


async def test_plan_names_the_jobs_with_their_windows_and_the_refreshes(worker: Worker) -> None:
    worker.seed.add_connection("first", platform="stripe", expires_at=iso(ago(days=1)))
    worker.expiring("later", last_synced_at=plain(ago(hours=3)))

    plan = await look(worker)

    jobs = {job.connection_id: (job.job_type, job.after_refresh) for job in plan.jobs}
    assert jobs == {"first": ("full", False), "later": ("incremental", True)}
    assert [each.connection_id for each in plan.refreshes] == ["later"]
    window = plan.jobs[1].sync_window
    assert (window.start, window.end) == (iso(ago(hours=3)), iso(NOW_MS))


async def test_plan_is_what_the_tick_then_does_and_nothing_is_written(worker: Worker) -> None:
    worker.seed.add_connection("a")
    worker.expiring("b")
    worker.seed.add_connection("fresh", last_synced_at=iso(NOW_MS))

    plan = await look(worker)
    untouched = worker.seed.rows("outbox")
    await worker.tick()

    assert untouched == []
    assert sorted(worker.jobs()) == [job.connection_id for job in plan.jobs]
    assert worker.asked() == [each.connection_id for each in plan.refreshes]


@pytest.mark.parametrize(
    ("columns", "clause"),
    [
        ({"sync_status": "syncing", "last_synced_at": iso(ago(hours=2))}, "syncing"),
        ({"last_synced_at": iso(NOW_MS + DAY_MS)}, "future"),
        ({"platform": "myspace", "expires_at": iso(NOW_MS)}, "provider"),
        ({"account_id": "x" * 200_000}, "provider"),
    ],
)
async def test_row_that_would_not_be_served_is_listed_with_the_reason(
    worker: Worker, columns: dict[str, Value], clause: str
) -> None:
    worker.seed.add_connection("c", **columns)

    plan = await look(worker)

    assert plan.jobs == []
    assert [(each.connection_id, each.clause) for each in plan.blocked] == [("c", clause)]
    assert plan.blocked[0].why


@pytest.mark.parametrize("clause", ["in_outbox", "refreshing", "backoff", "needs_reconnect"])
async def test_life_that_holds_a_connection_is_its_reason(worker: Worker, clause: str) -> None:
    worker.seed.add_connection("c")
    [sent] = await worker.world.vault.credentials(["c"])
    lives: dict[str, list[Event]] = {
        "in_outbox": [created("c")],
        "refreshing": [started(lease_until=NOW_MS + 1)],
        "backoff": [started(), failed(retry_at=NOW_MS + 1)],
        "needs_reconnect": [started(), failed(retry_at=None, credentials=sent.fingerprint)],
    }
    await take(worker.world.store, commit("c", DUE, *lives[clause]))

    plan = await look(worker)

    assert [each.clause for each in plan.blocked] == [clause]


async def test_fresh_and_inactive_connections_are_counted_and_not_listed(worker: Worker) -> None:
    worker.seed.add_connection("fresh", last_synced_at=iso(NOW_MS))
    worker.seed.add_connection("inactive", is_active=0)

    plan = await look(worker)

    assert (plan.jobs, plan.blocked, plan.not_due) == ([], [], 2)


@pytest.mark.parametrize(
    ("gate", "refreshes", "why"),
    [
        (Gate("google"), 3, ""),
        (paused(Gate("google"), NOW_MS + HOUR_MS), 0, "left alone until 2026-10-10T13:00"),
        (opened(Gate("google"), "provider_down", NOW_MS), 1, "once a tick"),
        (Gate("google", slots=(NOW_MS - 1,)), 1, "no more requests than 2"),
    ],
    ids=["well", "paused", "down", "over budget"],
)
async def test_what_the_provider_would_not_take_now_is_blocked(
    worker: Worker, gate: Gate, refreshes: int, why: str
) -> None:
    rate = Rate(2, HOUR_MS) if gate.slots else Rate(1, 100)
    worker = Worker(worker.world, [Provider("google", rate)])
    moved = msgspec.structs.replace(gate, version=1)
    await worker.world.store.append([], moved)
    for number in range(3):
        worker.expiring(f"c{number}")

    plan = await look(worker)

    assert (len(plan.refreshes), len(plan.blocked)) == (refreshes, 3 - refreshes)
    assert all(why in each.why for each in plan.blocked)


async def test_token_that_still_lives_gets_its_job_whatever_its_provider_says(
    worker: Worker,
) -> None:
    worker = Worker(worker.world, [Provider("google", Rate(1, 100), problem="not set")])
    worker.set_margin(HOUR_MS)
    worker.seed.add_connection("lives", expires_at=iso(NOW_MS + HOUR_MS // 2))
    worker.seed.add_connection("ends", expires_at=iso(NOW_MS))

    plan = await look(worker)

    assert [(job.connection_id, job.after_refresh) for job in plan.jobs] == [("lives", False)]
    assert [(each.connection_id, each.why) for each in plan.blocked] == [("ends", "not set")]


async def test_plan_of_one_connection_is_its_part_of_the_plan_of_all(worker: Worker) -> None:
    worker.seed.add_connection("job", platform="stripe")
    worker.expiring("refresh", platform="google")
    worker.expiring("undeclared", platform="myspace")
    worker.seed.add_connection("fresh", last_synced_at=iso(NOW_MS))
    worker.seed.add_connection("inactive", is_active=0)
    store, settings = worker.world.store, worker.settings

    whole, parts = await look(worker), list[TickPlan]()
    for conn in await store.find(["job", "refresh", "undeclared", "fresh", "inactive"]):
        part = await preview_of(conn, store, worker.refresher, settings, now_ms=NOW_MS)
        parts.append(part)

    assert {part.now for part in parts} == {whole.now} == {iso(NOW_MS)}
    assert [job for part in parts for job in part.jobs] == whole.jobs
    assert [each for part in parts for each in part.refreshes] == whole.refreshes
    assert [each for part in parts for each in part.blocked] == whole.blocked
    assert [part.not_due for part in parts] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(("period_ms", "refreshes"), [(PATIENCE_MS, 2), (PATIENCE_MS + 1, 1)])
async def test_plan_waits_for_a_provider_as_long_as_a_tick_does(
    worker: Worker, period_ms: int, refreshes: int
) -> None:
    worker = Worker(worker.world, [Provider("google", Rate(1, period_ms))])
    for name in "ab":
        worker.expiring(name)

    plan = await look(worker)
    await worker.tick()

    assert len(plan.refreshes) == len(worker.asked()) == refreshes


async def test_job_whose_token_lasts_takes_nothing_of_a_providers_budget(worker: Worker) -> None:
    worker = Worker(worker.world, [Provider("google", Rate(1, HOUR_MS))])
    worker.seed.add_connection("lasts", platform="google", expires_at=iso(NOW_MS + DAY_MS))
    worker.expiring("ends")

    plan = await look(worker)

    assert [(job.connection_id, job.after_refresh) for job in plan.jobs] == [
        ("lasts", False),
        ("ends", True),
    ]


@pytest.mark.parametrize("expires_at", [None, iso(NOW_MS)])
async def test_refresh_says_when_the_token_ends_if_that_is_known(
    worker: Worker, expires_at: str | None
) -> None:
    worker = Worker(worker.world, [Provider("acme", Rate(1, 1), without_expiry="refresh")])
    worker.seed.add_connection("c", platform="acme", expires_at=expires_at)

    [refresh] = (await look(worker)).refreshes

    assert (refresh.connection_id, refresh.platform) == ("c", "acme")
    assert refresh.expires_at == expires_at


async def test_limit_cuts_the_plan(worker: Worker) -> None:
    for number in range(5):
        worker.expiring(f"c{number}")
    worker.settings = TickSettings(limit=2)

    plan = await look(worker)

    assert (len(plan.jobs), len(plan.refreshes)) == (2, 2)


async def test_plan_reaches_over_many_pages(worker: Worker) -> None:
    for number in range(1_100):
        worker.seed.add_connection(f"c{number}")

    plan = await look(worker)

    assert len(plan.jobs) == 1_100
