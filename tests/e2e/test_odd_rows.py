"""A database with every odd row at once: see tests/e2e/odd_rows.py."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from clearlift_engine.policy import HOUR_MS
from tests.e2e.authority import Authority
from tests.e2e.odd_rows import ROWS, SOON, TWO_HOURS_AGO, Fate, OddRow, seed
from tests.e2e.program import Done, Program, connect
from tests.given import NOW_MS
from tests.loopback import Visit

SERVED: Final = ("job", "refreshed")
LIVES: Final[Mapping[Fate, Sequence[Sequence[str]]]] = {
    "job": [["fell_due", "job_created", "job_enqueued"]],
    "refreshed": [["fell_due", "refresh_started", "job_created", "job_enqueued"]],
    "failed": [["fell_due", "sync_failed"], ["fell_due", "refresh_started", "sync_failed"]],
    "not due": [[]],
}


@dataclass(frozen=True)
class Served:
    """A plan and a tick over all of it, and what followed."""

    program: Program
    plan: Done
    tick: Done
    tolerant: Done  # The same tick, where half of all may fail.
    again: Done
    relay: Done
    replay: Done
    asked: Sequence[str]

    def lives(self) -> Mapping[str, Sequence[str]]:
        """Return the names of the transitions, by connection."""
        lives: dict[str, list[str]] = {}
        for row in self.program.rows("outbox"):
            lives.setdefault(row["connection_id"], []).append(row["transition"])
        return lives


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Served:
    folders = [tmp_path_factory.mktemp("odd") for _ in range(2)]
    return asyncio.run(_served(folders, empty_database))


async def _served(folders: Sequence[Path], empty_database: Path) -> Served:
    authority, elsewhere = Authority(), Authority()
    async with authority.serving(), elsewhere.serving():
        program = Program(folders[0], **authority.environment)
        shutil.copy(empty_database, program.file)
        with program.tables() as tables:
            seed(tables)
        plan = await program.run("tick", "--dry-run", "--json")
        other = Program(folders[1], CLEARLIFT_FAIL_THRESHOLD="50%", **elsewhere.environment)
        shutil.copy(program.file, other.file)
        tick, tolerant = await asyncio.gather(
            program.run("tick", "--json"), other.run("tick", "--json")
        )
        again = await program.run("tick", "--json")
        relay = await program.run("relay", "--drain", "--json")
        replay = await program.run("replay", "--json")
        return Served(program, plan, tick, tolerant, again, relay, replay, authority.sent)


@pytest.mark.parametrize("row", ROWS, ids=[ascii(row.id) for row in ROWS])
def test_an_odd_row_has_the_fate_that_it_must_and_one_line_if_any(
    served: Served, row: OddRow
) -> None:
    life = served.lives().get(row.id, [])
    said = [line for line in served.tick.log if line.get("connection_id") == row.id]

    words = "".join(f"{line['event']}: {line.get('why')}" for line in said)

    assert life in LIVES[row.fate]
    assert [line["level"] for line in said] == ([] if row.says is None else ["warning"])
    assert (row.says or "") in words


def test_the_report_counts_every_row_and_names_each_failure(served: Served) -> None:
    report = served.tick.report

    failed = {row.id for row in ROWS if row.fate == "failed"}
    jobs = [row for row in ROWS if row.fate in SERVED]

    assert {failure["connection_id"] for failure in report["failures"]} == failed
    assert report["failed"] == len(failed)
    assert report["jobs_created"] == len(jobs)
    assert report["due"] == len(jobs) + len(failed)
    assert report["refreshed"] == len([row for row in ROWS if row.fate == "refreshed"])


def test_the_exit_code_depends_on_how_many_failed(served: Served) -> None:
    report = served.tick.report

    assert report["failed"] * 10 > report["due"]
    assert (served.tick.code, served.tolerant.code) == (3, 0)
    assert served.tolerant.report["failed"] == report["failed"]


def test_no_line_of_the_log_is_about_a_row_that_has_nothing_odd(served: Served) -> None:
    odd = {row.id for row in ROWS if row.says is not None}

    about = [str(line.get("connection_id")) for line in served.tick.log]

    assert sorted(about) == sorted(odd)


def test_a_failure_is_told_to_the_user_and_nobody_else_is_troubled(served: Served) -> None:
    fates = {row.id: row.fate for row in ROWS}
    before = {row.id: row.columns.get("sync_status", "pending") for row in ROWS}

    for row in served.program.rows("platform_connections"):
        if fates[row["id"]] == "failed":
            assert row["sync_status"] == "failed"
            assert row["sync_error"].startswith(("Token refresh failed: ", "Job could not be "))
        else:
            assert row["sync_status"] == before[row["id"]]


def test_each_expiring_token_is_sent_once(served: Served) -> None:
    expected = [f"rt-{row.id}" for row in ROWS if row.fate == "refreshed"]

    assert sorted(served.asked) == sorted(expected)


def test_a_second_tick_finds_nothing_to_do(served: Served) -> None:
    report = served.again.report

    assert (report["due"], report["jobs_created"], report["failed"]) == (0, 0, 0)
    assert {line["connection_id"] for line in served.again.log} == {"synced later"}


def test_what_was_created_is_delivered_and_the_log_explains_it(served: Served) -> None:
    jobs = [row for row in ROWS if row.fate in SERVED]

    assert served.relay.report["delivered"] == len(jobs)
    assert (served.relay.code, served.relay.log) == (0, [])
    assert (served.replay.code, served.replay.report["violations"]) == (0, [])


def test_the_plan_foresaw_every_job(served: Served) -> None:
    planned = {job["connection_id"] for job in served.plan.report["jobs"]}
    refreshes = {each["connection_id"] for each in served.plan.report["refreshes"]}

    assert served.plan.code == 0
    assert planned >= {row.id for row in ROWS if row.fate in SERVED}
    assert refreshes >= {row.id for row in ROWS if row.fate == "refreshed"}


async def test_connections_that_go_while_their_job_is_open_stop_nothing(program: Program) -> None:
    with program.tables() as tables:
        for name in ("deleted", "deactivated", "healthy"):
            connect(tables, name, platform="stripe", last_synced_at=TWO_HOURS_AGO)
    await program.done("tick")

    with program.tables() as tables:
        tables.delete_connection("deleted")
        tables.update_connection("deactivated", is_active=0)
    relay = await program.done("relay", "--drain", "--json")
    later = await program.done("tick", "--json", now_ms=NOW_MS + 2 * HOUR_MS)
    replay = await program.done("replay", "--json")

    assert relay.report["delivered"] == 3
    assert (later.report["due"], later.log) == (0, [])
    assert replay.report["violations"] == []


async def test_connections_that_go_while_their_tokens_are_replaced_stop_nothing(
    program: Program, authority: Authority
) -> None:
    with program.tables() as tables:
        for name in ("deleted", "deactivated", "healthy"):
            connect(tables, name, expires_at=SOON)

    async def remove(visit: Visit) -> None:
        with program.tables() as tables:
            tables.delete_connection("deleted")
            tables.update_connection("deactivated", is_active=0)
        await authority.grant(visit)

    authority.otherwise = {"rt-deleted": remove}
    tick = await program.done("tick", "--json")
    await program.done("relay", "--drain")
    replay = await program.done("replay", "--json")

    assert (tick.report["jobs_created"], tick.report["failed"]) == (1, 0)
    assert program.access_token("deactivated") == authority.granted["rt-deactivated"]
    assert program.life("healthy")[-1] == "job_enqueued"
    assert replay.report["violations"] == []
