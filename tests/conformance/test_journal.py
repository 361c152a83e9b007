"""What every Journal promises."""

from tests.given import NOW_MS
from tests.world import World


async def test_run_is_there_from_its_beginning(world: World) -> None:
    await world.journal.begin("r1", "tick", now_ms=NOW_MS)

    assert world.seed.rows("runs") == [
        {
            "id": "r1",
            "command": "tick",
            "started_at": NOW_MS,
            "finished_at": None,
            "outcome": None,
            "report": None,
            "cpu_ms": None,
        }
    ]


async def test_finished_run_has_its_outcome_and_its_report(world: World) -> None:
    await world.journal.begin("r1", "tick", now_ms=NOW_MS)
    await world.journal.begin("r2", "relay", now_ms=NOW_MS)

    report = '{"jobs":"3 — «ü»"}'.encode()
    await world.journal.finish("r1", now_ms=NOW_MS + 5, outcome="done", report=report, cpu_ms=7)

    finished, other = world.seed.row("runs", "r1"), world.seed.row("runs", "r2")
    assert (finished["started_at"], finished["finished_at"]) == (NOW_MS, NOW_MS + 5)
    assert (finished["outcome"], finished["report"]) == ("done", '{"jobs":"3 — «ü»"}')
    assert (finished["cpu_ms"], other["cpu_ms"]) == (7, None)
    assert (other["finished_at"], other["outcome"], other["report"]) == (None, None, None)


async def test_run_that_begins_again_after_a_lost_answer_is_one_run(world: World) -> None:
    await world.journal.begin("r1", "tick", now_ms=NOW_MS)

    await world.journal.begin("r1", "tick", now_ms=NOW_MS)

    assert len(world.seed.rows("runs")) == 1


async def test_run_that_nobody_began_cannot_be_finished(world: World) -> None:
    await world.journal.finish("r1", now_ms=NOW_MS, outcome="done", report=b"{}")

    assert world.seed.rows("runs") == []
