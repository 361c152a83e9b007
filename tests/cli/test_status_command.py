"""`clearlift-cron status`: one screen, and the same as JSON."""

import signal
from typing import Any, Final

import msgspec
import pytest

from tests.cli.program import Program
from tests.cli.terminal import on_terminal

ENTER_ALTERNATE_SCREEN: Final = "\x1b[?1049h"
LEAVE_ALTERNATE_SCREEN: Final = "\x1b[?1049l"


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
    assert view["waiting_since"].startswith("2026-10-10T12:00:00")
    assert "1 job waiting for relay, the oldest for 0 s; the queue holds 0; 50.0% of" in shown
    assert "odd\tpinterest\t1\t2026-10-10T12:" in shown
    assert [alert["name"] for alert in view["alerts"] if alert["firing"]] == ["error_rate"]


def test_what_needs_attention_comes_with_the_next_command(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    program.run("tick")

    later = program.run("status", CLEARLIFT_NOW="2026-10-10T12:40:59Z")

    assert "stuck_relay\t1 jobs wait for the relay, the oldest for 40 min\t" in later.out
    assert "clearlift-cron relay --drain -v" in later.out


def test_status_changes_nothing_and_refuses_a_schedule_that_is_none(program: Program) -> None:
    before = program.rows("runs")

    refused = program.run("status", CLEARLIFT_CRON="often")

    assert refused.code == 4
    assert "CLEARLIFT_CRON is 'often'" in refused.said[0]
    assert program.rows("runs") == before


def test_status_at_a_moment_tells_what_the_log_knows_and_null_for_the_rest(
    program: Program,
) -> None:
    program.seed.add_connection("well", platform="stripe")
    program.seed.add_connection("odd", platform="pinterest", expires_at="2026-10-10T11:00:00Z")
    program.run("tick", CLEARLIFT_NOW="2026-10-10T12:00:00Z")
    program.run("relay", "--drain", CLEARLIFT_NOW="2026-10-10T12:20:00Z")
    later = {"CLEARLIFT_NOW": "2026-10-12T12:00:00Z"}

    then = program.run("status", "--at", "2026-10-10T12:10:00Z", "--json", **later).json
    shown = program.run("status", "--at", "2026-10-10T12:10:00Z", **later).out

    assert then["connections"] == {"pinterest": {"failed": 1}, "stripe": {"job_created": 1}}
    assert (then["last_tick_outcome"], then["next_tick_at"]) == (
        "many_failed",
        "2026-10-10T12:15:00.000Z",
    )
    assert (then["waiting_for_relay"], then["error_rate"]) == (1, 0.5)
    unknown = {name for name, value in then.items() if value is None}
    assert unknown == {
        *("needs_reconnect", "tokens_expired", "tokens_expiring", "stuck"),
        *("queue_messages", "queue_oldest_at", "waiting_since"),
    }
    assert "stripe\tjob_created\t1" in shown
    assert "unknown" in shown.splitlines()[0]


def test_missed_ticks_are_counted_until_the_moment_and_what_ended_later_is_still_at_work(
    program: Program,
) -> None:
    program.run("tick", CLEARLIFT_NOW="2026-10-10T12:00:00Z")
    program.run("tick", CLEARLIFT_NOW="2026-10-10T13:00:00Z")
    later = {"CLEARLIFT_NOW": "2026-10-12T12:00:00Z"}

    before = program.run("status", "--at", "2026-10-10T12:50:00Z", "--json", **later).json
    during = program.run("status", "--at", "2026-10-10T13:00:00Z", "--json", **later).json

    assert (before["missed_ticks"], before["last_tick_outcome"]) == (3, "done")
    assert [alert["name"] for alert in before["alerts"] if alert["firing"]] == ["missed_ticks"]
    assert (during["last_tick_at"], during["last_tick_outcome"]) == (
        "2026-10-10T13:00:00.000Z",
        None,
    )


def test_status_refuses_the_future_and_to_watch_the_past(program: Program) -> None:
    future = program.run("status", "--at", "2026-10-10T12:00:01Z")
    both = program.run("status", "--watch", "--at", "2026-10-10T11:00:00Z")

    assert (future.code, both.code) == (2, 2)
    assert "--at is in the future" in future.err
    assert "choose one" in both.err


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_watching_as_json_is_a_line_a_look_until_a_signal(
    program: Program, signal_number: signal.Signals
) -> None:
    process = program.start("status", "--watch", "1", "--json")
    assert process.stdout is not None

    lines = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal_number)
    rest, said = process.communicate(timeout=60)

    first, second = (msgspec.json.decode(line, type=dict[str, Any])["at"] for line in lines)
    assert first < second
    assert (process.returncode, rest, said) == (0, "", "")


def test_watching_in_a_pipe_is_one_block_after_another(program: Program) -> None:
    process = program.start("status", "--watch", "1")
    assert process.stdout is not None

    block = list(iter(process.stdout.readline, "\n"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert block[0].startswith("no tick in the last day")
    assert "\x1b" not in "".join(block)


def test_watching_on_a_terminal_draws_in_its_place_and_leaves_the_last_page(
    program: Program,
) -> None:
    program.run("tick")

    shown = on_terminal(
        program, "status", "--watch", until="waiting for relay", signals=signal.SIGINT
    )

    drawn, _, left = shown.screen.partition(LEAVE_ALTERNATE_SCREEN)
    assert shown.code == 0
    assert ENTER_ALTERNATE_SCREEN in drawn
    assert "last tick 2026-10-10 12:00:00" in left


def test_worker_that_has_not_ticked_for_days_is_still_missed(program: Program) -> None:
    never = program.run("status", "--json", CLEARLIFT_NOW="2026-10-10T12:00:00Z").json
    program.run("tick")

    days_later = program.run("status", "--json", CLEARLIFT_NOW="2026-10-13T12:05:00Z").json

    assert never["missed_ticks"] == 0
    assert days_later["missed_ticks"] == 24 * 4
    assert [alert["name"] for alert in days_later["alerts"] if alert["firing"]] == ["missed_ticks"]
