"""`clearlift-cron explain`: why, in words and as JSON, now and then."""

import shlex

from tests.cli.program import Program
from tests.given import ODD_IDS


def test_explain_tells_a_failure_and_the_next_command_which_works(program: Program) -> None:
    odd = ODD_IDS[2]
    program.seed.add_connection(odd, platform="myspace", expires_at="soon", account_name="A\x1b[1m")
    program.run("tick")

    view = program.run("explain", odd, "--json").json
    shown = program.run("explain", odd).out

    assert (view["blocked"], view["due"], view["state"]) == ("backoff", False, "failed")
    assert (view["failure"]["class"], view["failure"]["failures"]) == ("invalid", 1)
    assert view["next_tick_at"] == "2026-10-10T12:15:00.000Z"
    assert [cycle["state"] for cycle in view["cycles"]] == ["failed"]
    assert r"next: clearlift-cron retry $'two\x0alines\x0d\x0a'" in shown
    assert "\x1b" not in shown
    assert "clause\tkeeps it back\tuntil\tbecause\n" in shown
    assert "backoff\tyes\t2026-10-10T12:" in shown
    assert program.run("retry", odd).code == 0


def test_a_pause_does_not_move_the_time_of_the_failure(program: Program) -> None:
    program.seed.add_connection("a", platform="myspace", expires_at="soon")
    program.run("tick")
    program.run("pause", "a", "--reason", "why", CLEARLIFT_NOW="2026-10-10T12:10:00Z")

    view = program.run("explain", "a", "--json", CLEARLIFT_NOW="2026-10-10T12:20:00Z").json

    assert view["failure"]["failed_at"].startswith("2026-10-10T12:00:00")


def test_explain_says_what_the_next_tick_would_do_as_dry_run_says_it(program: Program) -> None:
    program.seed.add_connection("a", expires_at="2026-10-10 12:01:00")

    view = program.run("explain", "a", "--json").json
    planned = program.run("tick", "--dry-run", "--json").json

    [blocked] = planned["blocked"]
    assert (view["due"], view["why"]) == (True, "due: never synced")
    assert view["advice"] == {
        "who": "operator",
        "sentence": f"a tick would leave it: {blocked['why']}",
        "command": "clearlift-cron tick --dry-run",
    }
    assert view["token"].startswith("ends at 2026-10-10T12:01:00.000Z; refreshed before a job")
    assert "access of a" not in str(view)
    assert program.rows("runs") == []


def test_past_is_told_from_the_log_and_today_is_named_as_such(program: Program) -> None:
    program.seed.add_connection("a", platform="stripe")
    program.run("tick")
    later = "2026-10-10T12:30:00Z"
    why = shlex.split("pause a --reason 'no budget' --by ann")
    program.run(*why, CLEARLIFT_NOW="2026-10-10T12:10:00Z")
    program.run("relay", "--drain", CLEARLIFT_NOW="2026-10-10T12:20:00Z")

    past = ("explain", "a", "--at", "2026-10-10T12:05:00Z")
    then = program.run(*past, "--json", CLEARLIFT_NOW=later).json
    shown = program.run(*past, CLEARLIFT_NOW=later).out
    now = program.run("explain", "a", "--json", CLEARLIFT_NOW=later).json

    assert (then["state"], then["blocked"], then["paused"]) == ("job_created", "in_outbox", None)
    assert then["changed_at"].startswith("2026-10-10T12:00:00")
    known = {line["clause"]: line["known_from"] for line in then["clauses"]}
    assert (known["in_outbox"], known["open_job"], known["syncing"]) == ("log", "jobs", "today")
    assert "only as they are today" in shown
    assert (now["state"], now["paused"]["by"]) == ("enqueued", "ann")
    assert now["advice"]["command"] == "clearlift-cron resume --reason TEXT a"


def test_nobody_was_due_before_the_account_was_connected(program: Program) -> None:
    program.seed.add_connection("a", platform="stripe", connected_at="2026-10-01 08:00:00")

    before = ("explain", "a", "--at", "2026-09-01T00:00:00Z")
    then = program.run(*before, "--json").json
    shown = program.run(*before).out

    assert (then["due"], then["blocked"], then["due_at"]) == (False, None, None)
    assert "not due: nothing had happened to it yet; its account was connected at" in shown
    assert len(shown.splitlines()) == 2


def test_what_cannot_be_explained_is_wrong_usage(program: Program) -> None:
    program.seed.add_connection("gone", platform="stripe")
    program.run("pause", "gone", "--reason", "r")
    program.seed.delete_connection("gone")

    unknown = program.run("explain", "nobody")
    deleted = program.run("explain", "gone")

    assert (unknown.code, deleted.code) == (2, 2)
    assert "there is no connection 'nobody'" in unknown.err
    assert "it was deleted; what the log knows: `clearlift-cron timeline gone`" in deleted.err
