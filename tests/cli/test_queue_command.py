"""`queue` as a process: looked at by an operator, emptied by a consumer."""

import pytest

from tests.cli.program import Program


@pytest.fixture
def filled(program: Program) -> Program:
    """Return a program whose queue holds one message."""
    program.seed.add_connection("a")
    program.run("tick", "--relay")
    return program


def test_a_message_is_listed_with_its_body_as_json(filled: Program) -> None:
    ended = filled.run("queue", "list", "--json")
    dead = filled.run("queue", "list", "--dead", "--json")

    [message] = ended.lines
    assert list(message) == ["job_id", "body", "attempts", "enqueued_at"]
    assert message["body"]["connection_id"] == "a"
    assert (message["attempts"], message["enqueued_at"][:19]) == (0, "2026-10-10T12:00:00")
    assert dead.out == ""


def test_a_list_that_no_terminal_shows_is_a_json_line_for_each_message(filled: Program) -> None:
    piped, asked = filled.run("queue", "list"), filled.run("queue", "list", "--json")

    assert (len(piped.lines), piped.out) == (1, asked.out)


def test_the_depth_has_an_age(filled: Program) -> None:
    ended = filled.run("queue", "depth", "--json", CLEARLIFT_NOW="2026-10-10T13:00:00Z")
    read = filled.run("queue", "depth")

    assert (ended.json["messages"], ended.json["dead"]) == (1, 0)
    assert 3590 <= ended.json["oldest_age_s"] <= 3600
    assert read.out.startswith("1 message, the oldest since 2026-10-10T12:00:0")


def test_a_message_is_hidden_once_pulled_and_gone_once_acknowledged(filled: Program) -> None:
    later = {"CLEARLIFT_NOW": "2026-10-10T12:01:00Z"}

    [first] = filled.run("queue", "pull", "--json", **later).lines
    nothing = filled.run("queue", "pull", "--json", **later)
    filled.run("queue", "retry", first["lease_id"], **later)
    [second] = filled.run("queue", "pull", "--json", **later).lines
    acknowledged = filled.run("queue", "ack", "--json", second["lease_id"], **later)

    assert list(first) == ["job_id", "body", "attempts", "enqueued_at", "lease_id"]
    assert nothing.out == ""
    assert (first["attempts"], second["attempts"]) == (1, 2)
    assert acknowledged.json == {"acknowledged": 1}
    assert filled.rows("queue_messages") == []


def test_a_lease_that_nothing_has_is_named_and_the_others_are_done(filled: Program) -> None:
    later = {"CLEARLIFT_NOW": "2026-10-10T12:01:00Z"}
    [pulled] = filled.run("queue", "pull", "--json", **later).lines

    ended = filled.run("queue", "ack", "nothing", pulled["lease_id"], **later)
    again = filled.run("queue", "retry", pulled["lease_id"], "--json", **later)

    assert (ended.code, ended.out) == (1, "1 acknowledged\n")
    assert '"id":"nothing"' in ended.err
    assert "no message has this lease: it ran out, or was acknowledged already" in ended.said
    assert (again.code, again.json) == (1, {"returned": 0})


def test_a_dead_letter_is_put_back_by_its_job_id(filled: Program) -> None:
    filled.tamper("UPDATE queue_messages SET attempts = 4, dead_at = 1")
    [dead] = filled.run("queue", "list", "--dead", "--json").lines

    ended = filled.run("queue", "retry", "--dead", dead["job_id"])
    again = filled.run("queue", "retry", "--dead", dead["job_id"])

    [message] = filled.run("queue", "list", "--json").lines
    assert (ended.code, ended.out) == (0, "1 returned\n")
    assert (message["job_id"], message["attempts"]) == (dead["job_id"], 0)
    assert again.code == 1
    assert "no dead letter has this job id: see `clearlift-cron queue list --dead`" in again.said


def test_a_body_that_somebody_else_wrote_is_shown_as_it_is(filled: Program) -> None:
    filled.tamper("UPDATE queue_messages SET body = 'no JSON'")

    ended = filled.run("queue", "list", "--json")

    assert ended.lines[0]["body"] == "no JSON"
