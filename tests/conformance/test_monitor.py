"""What every Monitor promises."""

from clearlift_engine.events import Paused, Resumed, decode
from clearlift_engine.overview import Audit, Backlog, Crowd, Flow, RunFact
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import DAY_MS, HOUR_MS, iso
from clearlift_engine.ports import Commit
from tests.given import DUE, ENQUEUED, NOW_MS, commit, created, failed, plain, take
from tests.world import World

JOB_LIMIT_MS = 4 * DAY_MS


async def crowds(world: World) -> set[Crowd]:
    return set(await world.monitor.crowds(now_ms=NOW_MS, job_limit_ms=JOB_LIMIT_MS))


async def test_connections_are_counted_by_what_they_have_in_common(world: World) -> None:
    world.seed.add_connection("new-1")
    world.seed.add_connection("new-2")
    world.seed.add_connection("off", is_active=0)
    world.seed.add_connection("waits", platform="tiktok")
    world.seed.add_connection("dead", platform="tiktok")
    await take(world.store, commit("waits", DUE, failed(retry_at=NOW_MS + HOUR_MS)))
    await take(world.store, commit("dead", DUE, failed(retry_at=None)))

    counted = await crowds(world)

    assert counted == {
        Crowd("google", None, active=True, needs_reconnect=False, connections=2),
        Crowd("google", None, active=False, needs_reconnect=False, connections=1),
        Crowd("tiktok", "failed", active=True, needs_reconnect=False, connections=1),
        Crowd("tiktok", "failed", active=True, needs_reconnect=True, connections=1),
    }


async def test_tokens_that_end_are_counted_in_either_format_of_time(world: World) -> None:
    world.seed.add_connection("long", expires_at=iso(NOW_MS + DAY_MS))
    world.seed.add_connection("soon", expires_at=plain(NOW_MS + DAY_MS - 1000))
    world.seed.add_connection("now", expires_at=iso(NOW_MS))
    world.seed.add_connection("over", expires_at=plain(NOW_MS - 1000))
    world.seed.add_connection("odd", expires_at="soon")

    [crowd] = await crowds(world)

    assert (crowd.connections, crowd.expired, crowd.expiring) == (5, 2, 2)


async def test_syncing_for_longer_than_a_job_may_take_is_stuck(world: World) -> None:
    for number, synced_at in enumerate((NOW_MS - JOB_LIMIT_MS, NOW_MS - JOB_LIMIT_MS + 1000)):
        world.seed.add_connection(
            f"c{number}", sync_status="syncing", last_synced_at=plain(synced_at)
        )

    [crowd] = await crowds(world)

    assert (crowd.connections, crowd.stuck) == (2, 1)


async def test_what_an_operator_says_of_a_stuck_connection_is_no_sign_of_life(
    world: World,
) -> None:
    long_ago = NOW_MS - JOB_LIMIT_MS
    for name, since in (("stuck", long_ago), ("alive", long_ago + 1000)):
        world.seed.add_connection(name, sync_status="syncing", last_synced_at=plain(long_ago))
        cycle = await take(world.store, commit(name, DUE, failed(retry_at=NOW_MS), at_ms=since))
        words = Paused(by="ann", reason="why"), Resumed(by="ann", reason="why")
        await take(world.store, commit(cycle, *words, at_ms=NOW_MS - HOUR_MS))

    assert {(crowd.connections, crowd.stuck) for crowd in await crowds(world)} == {(2, 1)}


async def test_past_states_come_from_the_log(world: World) -> None:
    for name in ("moved", "still", "later"):
        world.seed.add_connection(name)
    then = NOW_MS - HOUR_MS
    first = commit("moved", DUE, created("moved", "j1", at_ms=then), at_ms=then)
    await take(world.store, first)
    await take(world.store, commit("still", DUE, failed(retry_at=NOW_MS), at_ms=then))
    await take(world.store, commit(first.after, ENQUEUED))
    await take(world.store, commit("later", DUE, failed(retry_at=NOW_MS)))

    past = set(await world.monitor.crowds_at(NOW_MS - 1))

    assert past == {
        Crowd("google", "job_created", active=True, needs_reconnect=False, connections=1),
        Crowd("google", "failed", active=True, needs_reconnect=False, connections=1),
    }
    assert await world.monitor.crowds_at(then - 1) == []


async def test_backlog_says_how_many_wait_and_since_when(world: World) -> None:
    assert await world.monitor.backlog() == Backlog(0)
    for number in range(3):
        world.seed.add_connection(f"c{number}")
        at_ms = NOW_MS + number
        event = created(f"c{number}", f"j{number}", at_ms=at_ms)
        await take(world.store, commit(f"c{number}", DUE, event, at_ms=at_ms))

    assert await world.monitor.backlog() == Backlog(3, NOW_MS)


async def test_job_that_waits_gets_no_younger_by_what_an_operator_says(world: World) -> None:
    for name in ("old", "young"):
        world.seed.add_connection(name)
    old = await take(world.store, commit("old", DUE, created("old", "j1")))
    await take(world.store, commit("young", DUE, created("young", "j2"), at_ms=NOW_MS + 1))

    words = Paused(by="ann", reason="why"), Resumed(by="ann", reason="why")
    await take(world.store, commit(old, *words, at_ms=NOW_MS + HOUR_MS))

    assert await world.monitor.backlog() == Backlog(2, NOW_MS)


async def test_runs_are_told_newest_first_with_what_they_count(world: World) -> None:
    for number in range(3):
        await world.journal.begin(f"r{number}", "tick", now_ms=NOW_MS + number)
    report = b'{"due":7,"failed":2,"jobs_created":5,"failures":[1],"duration_ms":12}'
    await world.journal.finish("r1", now_ms=NOW_MS + 9, outcome="many_failed", report=report)

    runs = await world.monitor.runs(since_ms=NOW_MS + 1, limit=10)

    assert runs == [
        RunFact("r2", "tick", NOW_MS + 2, None, None),
        RunFact(
            *("r1", "tick", NOW_MS + 1, NOW_MS + 9, "many_failed"),
            due=7,
            failed=2,
            jobs_created=5,
            duration_ms=12,
        ),
    ]
    assert [run.id for run in await world.monitor.runs(since_ms=0, limit=1)] == ["r2"]
    until_ms = NOW_MS + 1
    earlier = await world.monitor.runs(since_ms=0, until_ms=until_ms, limit=1)
    assert [run.id for run in earlier] == ["r1"]


async def test_gates_are_those_of_every_provider_asked(world: World) -> None:
    for name in ("tiktok", "google"):
        await world.store.append([], Gate(name, version=1, run_id="r", failures=3))

    assert await world.monitor.gates() == [
        Gate("google", version=1, run_id="r", failures=3),
        Gate("tiktok", version=1, run_id="r", failures=3),
    ]


async def test_worst_are_those_that_failed_most_often_and_longest_ago(world: World) -> None:
    for name in ("once", "twice", "earlier", "well"):
        world.seed.add_connection(name, account_name=f"{name} Ltd")
    again = commit("twice", DUE, failed(retry_at=NOW_MS))
    await take(world.store, commit("once", DUE, failed(retry_at=None)))
    await take(world.store, again)
    await take(world.store, commit(again.after, DUE, failed(retry_at=NOW_MS + HOUR_MS)))
    await take(world.store, commit("earlier", DUE, failed(retry_at=None), at_ms=NOW_MS - 1))
    await take(world.store, commit("well", DUE, created("well")))

    worst = await world.monitor.worst(limit=2)

    assert [(each.connection_id, each.failures) for each in worst] == [("twice", 2), ("earlier", 1)]
    assert worst[0].account_name == "twice Ltd"
    assert decode("sync_failed", worst[0].data) == failed(retry_at=NOW_MS + HOUR_MS)


async def test_the_worst_failed_when_and_why_their_failure_says_and_not_an_operator(
    world: World,
) -> None:
    world.seed.add_connection("c")
    failure = failed(retry_at=NOW_MS + HOUR_MS)
    cycle = await take(world.store, commit("c", DUE, failure, at_ms=NOW_MS - HOUR_MS))
    await take(world.store, commit(cycle, Paused(by="ann", reason="why")))

    [trouble] = await world.monitor.worst(limit=5)

    assert trouble.failed_at == NOW_MS - HOUR_MS
    assert decode("sync_failed", trouble.data) == failure


async def test_deleted_connection_is_still_among_the_worst(world: World) -> None:
    world.seed.add_connection("gone")
    lost: Commit = commit("gone", DUE, failed(retry_at=None))
    await take(world.store, lost)

    world.seed.delete_connection("gone")

    [trouble] = await world.monitor.worst(limit=5)
    assert (trouble.connection_id, trouble.platform) == ("gone", None)


async def test_flows_count_each_move_since_a_moment(world: World) -> None:
    for name in ("a", "b", "late"):
        world.seed.add_connection(name)
    old = NOW_MS - DAY_MS - 1
    first = commit("a", DUE, created("a", "j1", at_ms=old), at_ms=old)
    await take(world.store, first)
    await take(world.store, commit(first.after, ENQUEUED, at_ms=NOW_MS - DAY_MS))
    await take(world.store, commit("b", DUE, failed(retry_at=None), at_ms=NOW_MS - 1))
    await take(world.store, commit("late", DUE))

    flows = await world.monitor.flows(since_ms=NOW_MS - DAY_MS, limit=100)

    assert flows == [
        Flow(None, "fell_due", "due", 2, NOW_MS - 1),
        Flow("due", "sync_failed", "failed", 1, NOW_MS - 1),
        Flow("job_created", "job_enqueued", "enqueued", 1, NOW_MS - DAY_MS),
    ]
    assert await world.monitor.flows(since_ms=0, limit=1) == [
        Flow(None, "fell_due", "due", 1, NOW_MS)
    ]


async def test_of_each_audit_the_newest_that_has_ended_is_told(world: World) -> None:
    runs = {"old": "replay", "newer": "replay", "under way": "replay", "a": "audit verify"}
    for number, (run_id, command) in enumerate({**runs, "t": "tick"}.items()):
        await world.journal.begin(run_id, command, now_ms=NOW_MS + number)
    for run_id, outcome in (("old", "violated"), ("newer", "done"), ("a", "violated"), ("t", "x")):
        report = b'{"events":9,"violations":0}' if run_id == "newer" else b"null"
        await world.journal.finish(run_id, now_ms=NOW_MS + 9, outcome=outcome, report=report)

    audits = await world.monitor.audits(since_ms=NOW_MS)

    assert audits == [
        Audit("audit verify", NOW_MS + 3, "violated", None, None),
        Audit("replay", NOW_MS + 1, "done", 9, 0),
    ]
    assert await world.monitor.audits(since_ms=NOW_MS + 4) == []
