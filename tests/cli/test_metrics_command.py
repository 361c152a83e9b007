"""`clearlift-cron metrics`: text for a scrape, a file for node_exporter, rules and a dashboard."""

import stat
from pathlib import Path

import msgspec

from tests.cli.program import Program


def test_metrics_tell_what_a_tick_has_left(program: Program) -> None:
    program.seed.add_connection("a", platform="stripe")
    program.seed.add_connection("b", platform="stripe")
    program.run("tick")

    ended = program.run("metrics")
    view = {each["name"]: each for each in program.run("metrics", "--json").json["metrics"]}

    lines = ended.out.splitlines()
    assert 'clearlift_connections{platform="stripe",state="job_created"} 2.0' in lines
    assert "# TYPE clearlift_log_events_total counter" in lines
    assert "clearlift_log_events_total 4.0" in lines
    assert "clearlift_outbox_jobs 2.0" in lines
    assert view["clearlift_outbox_jobs"]["samples"] == [{"labels": {}, "value": 2.0}]
    assert not [line for line in lines if "python_" in line or "process_" in line]


def test_textfile_is_replaced_whole_and_can_be_read_by_others(program: Program) -> None:
    file = program.folder / "clearlift.prom"
    file.write_text("what was there before")
    before = file.stat().st_ino

    ended = program.run("metrics", "--textfile", "clearlift.prom")

    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert file.read_text().startswith("# HELP clearlift_build_info ")
    assert file.stat().st_ino != before
    assert file.stat().st_mode & stat.S_IROTH
    assert not list(program.folder.glob("clearlift.prom.*"))


def test_textfile_stays_as_it_was_if_it_cannot_be_written(program: Program) -> None:
    wrong_name = program.run("metrics", "--textfile", "clearlift.txt")
    nowhere = program.run("metrics", "--textfile", "nowhere/clearlift.prom")
    no_database = program.run(
        "metrics", "--textfile", "c.prom", CLEARLIFT_DATABASE="sqlite:///no.db"
    )

    assert (wrong_name.code, nowhere.code, no_database.code) == (4, 4, 4)
    assert "names end in .prom" in wrong_name.said[0]
    assert "correct --textfile" in nowhere.said[0]
    assert not Path(program.folder, "c.prom").exists()


def test_rules_and_dashboard_come_with_the_program_and_need_no_database(program: Program) -> None:
    nowhere = {"CLEARLIFT_DATABASE": "sqlite:///no.db"}

    rules = program.run("metrics", "--rules", **nowhere)
    dashboard = program.run("metrics", "--dashboard", **nowhere)
    both = program.run("metrics", "--rules", "--dashboard", **nowhere)

    assert "- alert: clearlift_error_rate" in rules.out
    assert msgspec.json.decode(dashboard.out)["title"] == "ClearLift cron worker"
    assert both.code == 2


def test_numbers_say_nothing_of_customers(program: Program) -> None:
    program.seed.add_connection("acme-stripe-1", organization_id="acme", platform="stripe")
    program.run("tick")

    assert "acme" not in program.run("metrics").out
