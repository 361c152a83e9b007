"""`tick` as a process: its report, its code, its row in `runs`, and what it does not load."""

import subprocess
import sys

import msgspec
import pytest

from tests.cli.program import KEY, NOW, Program, environment_of

REPORT = [
    "run_id",
    "started_at",
    "duration_ms",
    "due",
    "refreshed",
    "jobs_created",
    "failed",
    "deferred",
    "delivered",
    "failures",
]
EXPIRED = "2026-10-10T11:00:00Z"

LOADS = """
import json, sys
from clearlift_adapters.cli.commands import run
code = run(sys.argv[1:])
loaded = [name for name, module in sys.modules.items() if module is not None]
print(json.dumps([code, sorted({name.partition(".")[0] for name in loaded})]))
"""


def test_what_is_due_gets_a_job_and_the_report_has_the_documented_keys(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", last_synced_at="2026-10-10 11:30:00")

    ended = program.run("tick", "--json")

    assert ended.code == 0
    assert list(ended.json) == REPORT
    assert ended.json["started_at"] == "2026-10-10T12:00:00.000Z"
    assert (ended.json["due"], ended.json["jobs_created"], ended.json["delivered"]) == (1, 1, 0)
    assert [job["connection_id"] for job in program.rows("sync_jobs")] == ["a"]


def test_with_relay_the_jobs_are_delivered_too(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b")

    ended = program.run("tick", "--relay", "--json")
    again = program.run("tick", "--relay", "--json")

    assert (ended.json["jobs_created"], ended.json["delivered"]) == (2, 2)
    assert (again.json["due"], again.json["delivered"]) == (0, 0)
    assert len(program.rows("queue_messages")) == 2


def test_a_person_gets_a_sentence_and_a_line_for_each_failure(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("odd\none", platform="acme", expires_at=EXPIRED)

    ended = program.run("tick")

    sentence, heading, failure = ended.out.splitlines()
    assert (
        sentence == "2 due: 1 job created, 0 tokens refreshed, 1 failed, 0 deferred; "
        "what was created waits for `clearlift-cron relay`"
    )
    assert heading == "failed\tclass\tmessage"
    assert failure.startswith(r"odd\none" + "\t")


def test_a_person_is_told_why_some_were_deferred_and_how_many_were_delivered(
    program: Program,
) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", expires_at=EXPIRED)

    ended = program.run("tick", "--relay")

    assert ended.out == (
        "2 due: 1 job created, 0 tokens refreshed, 0 failed, 1 deferred (1 configuration); "
        "1 delivered\n"
    )


def test_the_limit_is_kept(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b")

    ended = program.run("tick", "--limit", "1", "--json")

    assert ended.json["jobs_created"] == 1


@pytest.mark.parametrize(("threshold", "code"), [("50", 0), ("49.9%", 3)])
def test_more_failures_than_the_threshold_are_code_3(
    program: Program, threshold: str, code: int
) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", platform="acme", expires_at=EXPIRED)

    ended = program.run("tick", "--json", CLEARLIFT_FAIL_THRESHOLD=threshold)

    assert ended.code == code
    assert ended.json["failed"] == 1
    assert list(ended.json["failures"][0]) == ["connection_id", "class", "message"]


def test_without_a_key_what_needs_one_waits_and_the_rest_is_served(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", expires_at=EXPIRED)

    ended = program.run("tick", "--json")

    assert ended.code == 4
    assert (ended.json["jobs_created"], ended.json["failed"]) == (1, 0)
    assert "ENCRYPTION_KEY is not set" in ended.err
    assert program.seed.row("platform_connections", "b")["sync_status"] == "pending"
    assert [row["outcome"] for row in program.rows("runs")] == ["misconfigured"]


def test_a_key_that_is_none_touches_no_connection(program: Program) -> None:
    program.seed.add_connection("b", expires_at=EXPIRED)

    ended = program.run(
        "tick",
        "--json",
        ENCRYPTION_KEY="geheim",
        GOOGLE_CLIENT_ID="we",
        GOOGLE_CLIENT_SECRET="secret",
    )

    assert ended.code == 4
    assert "ENCRYPTION_KEY is not base64" in ended.err
    assert "geheim" not in ended.err
    assert program.seed.row("platform_connections", "b")["sync_status"] == "pending"


def test_a_run_has_its_row_and_its_report_in_it(program: Program) -> None:
    program.seed.add_connection("a")

    ended = program.run("tick", "--json")

    [run] = program.rows("runs")
    assert (run["id"], run["command"], run["outcome"]) == (ended.json["run_id"], "tick", "done")
    assert msgspec.json.decode(run["report"]) == ended.json
    assert {row["run_id"] for row in program.rows("outbox")} == {run["id"]}


def test_a_dry_run_writes_nothing_and_prints_the_plan(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", expires_at=EXPIRED)
    program.seed.add_connection("c", sync_status="syncing")
    program.seed.add_job("j", "c", created_at=NOW)
    google = {"GOOGLE_CLIENT_ID": "we", "GOOGLE_CLIENT_SECRET": "secret", "ENCRYPTION_KEY": KEY}

    ended = program.run("tick", "--dry-run", "--json", **google)

    plan = ended.json
    assert (ended.code, ended.err) == (0, "")
    assert list(plan) == ["jobs", "refreshes", "blocked"]
    assert [job["connection_id"] for job in plan["jobs"]] == ["a", "b"]
    assert [refresh["connection_id"] for refresh in plan["refreshes"]] == ["b"]
    assert [(each["connection_id"], each["clause"]) for each in plan["blocked"]] == [
        ("c", "open_job")
    ]
    assert program.rows("runs") == program.rows("outbox") == []


def test_a_plan_shows_which_refresh_would_fail_for_want_of_a_token(program: Program) -> None:
    for name, gone in (("a", {}), ("b", {"refresh_token_encrypted": None})):
        program.seed.add_connection(name, expires_at=EXPIRED, **gone)
    facebook = {"platform": "facebook", "refresh_token_encrypted": None}
    program.seed.add_connection("c", expires_at=EXPIRED, **facebook)
    clients = {f"GOOGLE_CLIENT_{name}": "we" for name in ("ID", "SECRET")}
    clients |= {f"FACEBOOK_APP_{name}": "we" for name in ("ID", "SECRET")}

    plan = program.run("tick", "--dry-run", "--json", ENCRYPTION_KEY=KEY, **clients).json

    assert [each["connection_id"] for each in plan["jobs"]] == ["a", "c"]
    assert [each["connection_id"] for each in plan["refreshes"]] == ["a", "c"]
    [blocked] = plan["blocked"]
    assert (blocked["connection_id"], blocked["clause"]) == ("b", "no_token")
    assert blocked["why"] == "it has no refresh token; the user must reconnect"


def test_a_plan_can_be_read_by_a_person(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b", expires_at=EXPIRED)

    ended = program.run("tick", "--dry-run")

    assert "1 job, 0 of them after a token refresh; 1 blocked, 0 not due" in ended.out
    assert "b\tprovider\t-\tENCRYPTION_KEY is not set" in ended.out


def test_a_tick_with_nothing_due_loads_only_what_it_needs(program: Program) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS, "tick", "--relay"],
        capture_output=True,
        check=True,
        cwd=program.folder,
        env=environment_of({}),
        timeout=60,
    )

    code, loaded = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert code == 0
    assert b"CLEARLIFT_NOW is set" in done.stderr  # A line is written, to no terminal.
    assert "aiosqlite" in loaded
    assert not {"httpx", "httpcore", "cryptography", "rich", "structlog"} & set(loaded)
