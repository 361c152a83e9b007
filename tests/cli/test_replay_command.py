"""`replay` as a process: its report, the life of a connection, the past, and a projection anew."""

import pytest

from clearlift_engine.policy import iso
from tests.cli.program import Program


@pytest.fixture
def served(program: Program) -> Program:
    """Return a program whose database holds two lives."""
    program.seed.add_connection("a")
    program.seed.add_connection("b")
    program.run("tick", "--relay")
    return program


def test_a_sound_log_is_code_0_and_the_report_has_the_documented_keys(served: Program) -> None:
    ended = served.run("replay", "--json")

    assert ended.code == 0
    assert list(ended.json) == ["connections", "events", "violations", "digest"]
    assert (ended.json["connections"], ended.json["events"]) == (2, 6)
    assert ended.json["violations"] == []


def test_a_violation_is_code_6_and_is_named(served: Program) -> None:
    served.seed.update_job(served.rows("sync_jobs")[0]["id"], job_type="incremental")

    ended = served.run("replay", "--json")
    read = served.run("replay")

    [violation] = ended.json["violations"]
    assert (ended.code, read.code) == (6, 6)
    assert list(violation) == ["connection_id", "position", "rule", "detail"]
    assert violation["rule"] == "job_row"
    assert "1 violation; digest" in read.out
    assert "\tjob_row\t" in read.out


def test_a_connection_has_its_life_told(served: Program) -> None:
    served.seed.add_connection("new")

    ended = served.run("replay", "a", "new")

    lines = [line.split("\t") for line in ended.out.splitlines()]
    assert lines[0] == ["position", "at", "transition", "to", "what"]
    assert [line[2] for line in lines[1:4]] == ["fell_due", "job_created", "job_enqueued"]
    assert lines[4] == ["new has no events yet"]
    assert lines[5][0].startswith("1 connection, 3 events, 0 violations")
    assert ended.code == 0


@pytest.mark.parametrize("options", ["", "--json", "--events", "--as-of 2026-10-10T13:00:00Z"])
def test_a_connection_that_nothing_knows_is_wrong_usage(served: Program, options: str) -> None:
    ended = served.run("replay", "a", "nobody", *options.split())

    assert (ended.code, ended.out) == (2, "")
    assert "there is no connection 'nobody': see `clearlift-cron connections list`" in ended.err


def test_a_connection_that_was_deleted_still_has_its_life(served: Program) -> None:
    served.seed.delete_connection("a")

    ended = served.run("replay", "a", "--events")

    assert ended.code == 0
    assert [line["transition"] for line in ended.lines] == [
        *("fell_due", "job_created", "job_enqueued")
    ]


def test_a_life_can_be_had_as_json_a_line_for_each_transition(served: Program) -> None:
    ended = served.run("replay", "a", "--events")

    [first, *_] = served.rows("outbox")
    assert ended.lines[0] == {
        "connection_id": "a",
        "position": 1,
        "occurred_at": iso(first["occurred_at"]),
        "transition": "fell_due",
        "source": None,
        "target": "due",
        "sentence": "never synced before",
    }


def test_the_past_is_what_was_known_then(served: Program) -> None:
    before = served.run("replay", "--as-of", "2026-10-10T11:59:59Z", "--json")
    after = served.run("replay", "b", "--as-of", "2026-10-10T13:00:00Z", "--json")
    read = served.run("replay", "--as-of", "2026-10-10T13:00:00Z")

    assert (before.code, before.out) == (0, "")
    [state] = after.lines
    assert (state["connection_id"], state["state"], state["version"]) == ("b", "enqueued", 3)
    assert len(read.out.splitlines()) == 3


def test_a_projection_that_was_tampered_with_is_made_anew(served: Program) -> None:
    before = served.rows("connection_state")
    served.tamper("UPDATE connection_state SET failures = 7 WHERE connection_id = 'a'")

    found = served.run("replay")
    rebuilt = served.run("replay", "--rebuild")

    assert (found.code, rebuilt.code) == (6, 0)
    assert rebuilt.out.startswith("rebuilt 2 streams\n2 connections, 6 events, 0 violations")
    assert served.rows("connection_state") == before
    runs = [(run["command"], run["outcome"]) for run in served.rows("runs")]
    assert runs[-3:] == [("replay", "violated"), ("replay --rebuild", "done"), ("replay", "done")]


def test_a_log_that_cannot_be_folded_is_code_6_and_nothing_is_rebuilt(served: Program) -> None:
    before = served.rows("connection_state")
    served.seed.tear_out(1)

    rebuilt = served.run("replay", "--rebuild")
    shown = served.run("replay", "--as-of", "2026-10-10T13:00:00Z")

    assert (rebuilt.code, shown.code) == (6, 6)
    assert "the log cannot be folded; `replay` says where" in rebuilt.said
    assert served.rows("runs")[-1]["outcome"] == "failed"
    assert served.rows("connection_state") == before
