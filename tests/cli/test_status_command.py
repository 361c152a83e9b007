"""`clearlift-cron status`: one screen, and the same as JSON."""

from tests.cli.program import Program


def test_status_of_a_new_database_says_what_to_do_first(program: Program) -> None:
    ended = program.run("status")

    assert ended.code == 0
    assert ended.out.startswith("no tick in the last day: run `clearlift-cron tick`")
    assert "needs attention" not in ended.out


def test_status_tells_what_a_tick_has_left(program: Program) -> None:
    program.seed.add_connection("well", platform="stripe")
    program.seed.add_connection("off", platform="stripe", is_active=0)
    program.seed.add_connection("odd", platform="pinterest", expires_at="2026-10-10T11:00:00Z")
    program.run("tick")

    view = program.run("status", "--json").json
    shown = program.run("status").out

    assert view["connections"] == {
        "pinterest": {"failed": 1},
        "stripe": {"inactive": 1, "job_created": 1},
    }
    assert (view["waiting_for_relay"], view["queue_messages"]) == (1, 0)
    assert (view["tokens_expired"], view["error_rate"]) == (1, 0.5)
    assert view["last_tick_outcome"] == "many_failed"
    assert "odd\tpinterest\t1\t2026-10-10T12:" in shown
    assert [alert["name"] for alert in view["alerts"] if alert["firing"]] == ["error_rate"]


def test_what_needs_attention_comes_with_the_next_command(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    program.run("tick")

    later = program.run("status", CLEARLIFT_NOW="2026-10-10T12:40:00Z")

    assert "stuck_relay\t1 jobs wait for the relay, the oldest for 40 min\t" in later.out
    assert "clearlift-cron relay --drain -v" in later.out


def test_status_changes_nothing_and_refuses_a_schedule_that_is_none(program: Program) -> None:
    before = program.rows("runs")

    refused = program.run("status", CLEARLIFT_CRON="often")

    assert refused.code == 4
    assert "CLEARLIFT_CRON is 'often'" in refused.said[0]
    assert program.rows("runs") == before
