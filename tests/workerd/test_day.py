"""Every command on D1 and Queues, as processes. The day itself, from the API worker's dump to the
messages in the queue, is tests/e2e/test_export.py, which runs on a file and here.
"""

from pathlib import Path

import pytest

from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from tests.e2e.authority import CLIENTS, Authority
from tests.e2e.program import connect
from tests.given import NOW_MS, ago, plain
from tests.loopback import Visit
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.faults import FOREVER
from tests.workerd.program import CloudProgram

GRANT = ("--organization", "acme", "--account-id", "1", "--expires-at", iso(NOW_MS + HOUR_MS))


@pytest.fixture
async def program(workerd: Cloudflare, tmp_path: Path) -> CloudProgram:
    """Return the program on a database that has our tables."""
    program = CloudProgram(tmp_path, workerd, **CLIENTS)
    await program.done("migrate")
    return program


async def test_connections_are_added_shown_and_listed(program: CloudProgram) -> None:
    added = await program.done("connections", "add", "google", *GRANT, stdin="at\nrt\n")
    again = await program.done("connections", "add", "google", *GRANT, stdin="at2\nrt2\n")
    await program.done("connections", "set", "acme-google-1", "--interval", "60")

    shown = (await program.done("connections", "show", "acme-google-1", "--json")).report
    listed = (await program.done("connections", "list", "--json")).lines

    assert added.out == b"added acme-google-1\n"
    assert again.out.startswith(b"reconnected acme-google-1")
    assert program.access_token("acme-google-1") == "at2"
    assert [row["id"] for row in listed] == ["acme-google-1"]
    assert shown["id"] == "acme-google-1"


async def test_one_command_serves_a_host_that_has_only_cron(program: CloudProgram) -> None:
    await program.done("connections", "add", "google", *GRANT, stdin="at\nrt\n")

    tick = (await program.done("tick", "--relay", "--json")).report

    _, [message] = await program.messages()
    assert (tick["jobs_created"], tick["delivered"]) == (1, 1)
    assert message["body"]["connection_id"] == "acme-google-1"
    assert program.life("acme-google-1") == ["fell_due", "job_created", "job_enqueued"]


async def test_dry_run_says_what_a_tick_would_do_and_does_nothing(program: CloudProgram) -> None:
    with program.tables() as tables:
        connect(tables, "fresh", last_synced_at=plain(ago(minutes=1)))
        connect(tables, "overdue", last_synced_at=plain(ago(hours=2)))
        connect(tables, "expiring", expires_at=iso(NOW_MS + MINUTE_MS))

    plan = (await program.done("tick", "--dry-run", "--json")).report

    assert sorted(job["connection_id"] for job in plan["jobs"]) == ["expiring", "overdue"]
    assert [each["connection_id"] for each in plan["refreshes"]] == ["expiring"]
    assert [program.rows(table) for table in ("outbox", "connection_state", "runs")] == [[]] * 3


async def test_doctor_and_health_look_at_a_remote_database_too(program: CloudProgram) -> None:
    with program.tables() as tables:
        connect(tables, "iso", last_synced_at=iso(ago(minutes=1)))
        connect(tables, "plain", last_synced_at=plain(ago(minutes=2)))
        connect(tables, "odd", last_synced_at="yesterday")
    await program.done("tick", "--relay")

    unasked = (await program.done("doctor", "--json")).report
    asked = (await program.run("doctor", "--online", "--json")).report
    health = (await program.done("health", "--json")).report

    by_check = {each["check"]: each for each in reversed(asked["findings"])}
    assert "schema" not in {each["check"] for each in unasked["findings"]}
    assert by_check["mixed_times"]["values"] == {"plain": 1, "iso": 1, "unreadable": 1}
    assert by_check["delivery"]["values"]["level"] == "at least once + stable id"
    assert [by_check[name]["severity"] for name in ("schema", "key", "consumer")] == ["ok"] * 3
    assert health["healthy"] is True


async def test_queue_depth_is_what_nobody_has_acknowledged(program: CloudProgram) -> None:
    with program.tables() as tables:
        for number in range(3):
            connect(tables, f"c{number}")
    queue = f"cloudflare://{program.stage.account}/{program.stage.pulled}"

    await program.done("tick", "--relay", CLEARLIFT_QUEUE=queue)

    depth = (await program.done("queue", "depth", "--json", CLEARLIFT_QUEUE=queue)).report
    assert depth["messages"] == 3
    assert depth["dead"] is None
    assert depth["oldest_at"] is not None


async def test_remote_queue_cannot_be_looked_into_and_says_so(program: CloudProgram) -> None:
    done = await program.run("queue", "list")

    assert done.code == 4
    assert ["only the embedded queue" in line["event"] for line in done.log] == [True]


async def test_replay_tells_lives_states_and_rebuilds(program: CloudProgram) -> None:
    with program.tables() as tables:
        connect(tables, "c")
    await program.done("tick", "--relay")
    before = program.rows("connection_state")

    life = await program.done("replay", "c")
    then = (await program.done("replay", "--as-of", iso(NOW_MS - 1), "--json")).lines
    rebuilt = (await program.done("replay", "--rebuild", "--json")).report

    told = [line.split(b"\t")[2] for line in life.out.splitlines() if line.count(b"\t") > 3]
    assert told[-3:] == [b"fell_due", b"job_created", b"job_enqueued"]
    assert [each["state"] for each in then] in ([], [None])
    assert (rebuilt["connections"], rebuilt["violations"]) == (1, [])
    assert program.rows("connection_state") == before


async def test_runs_are_recorded_from_beginning_to_end(program: CloudProgram) -> None:
    await program.done("tick")
    await program.done("relay", "--drain")

    runs = program.rows("runs")

    assert sorted(run["command"] for run in runs) == ["relay", "tick"]
    assert {run["outcome"] for run in runs} == {"done"}
    assert all(run["started_at"] <= run["finished_at"] for run in runs)


async def test_tokens_that_the_database_would_not_take_come_home_with_the_next_tick(
    workerd: Cloudflare, tmp_path: Path
) -> None:
    authority = Authority()

    async def grant_and_revoke(visit: Visit) -> None:
        workerd.inject(faults.error(401, 10000, "Authentication error").at("*", times=FOREVER))
        await authority.grant(visit)

    async with authority.serving():
        program = CloudProgram(tmp_path, workerd, **authority.environment)
        await program.done("migrate")
        with program.tables() as tables:
            connect(tables, "c", platform="tiktok", expires_at=iso(NOW_MS + MINUTE_MS))
        authority.otherwise["rt-c"] = grant_and_revoke
        refused = await program.run("tick")
        workerd.inject()

        await program.done("tick", now_ms=NOW_MS + 20 * MINUTE_MS)

    assert refused.code == 4
    assert authority.sent == ["rt-c"]
    assert program.access_token("c") == authority.granted["rt-c"]
    assert [row["connection_id"] for row in program.rows("sync_jobs")] == ["c"]
