"""`clearlift-cron health`: 0 or 7, by the database, its tables, the ticks and the relay."""

from pathlib import Path

import pytest

from tests.cli.program import Ended, Program


def failing(ended: Ended) -> list[str]:
    return [check["check"] for check in ended.json["checks"] if not check["ok"]]


def test_all_is_well_while_ticks_come_and_what_they_leave_is_delivered(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    before = program.run("health", "--json")
    program.run("tick", "--relay")

    after = program.run("health", "--json", CLEARLIFT_NOW="2026-10-10T12:31:00Z")

    assert (before.code, failing(before)) == (7, ["missed_ticks"])
    assert (after.code, failing(after)) == (0, [])
    assert after.json["healthy"] is True


@pytest.mark.parametrize("later", ["2026-10-10T12:33:00Z", "2026-10-20T12:00:00Z"])
def test_missed_ticks_and_a_relay_that_stands_still_are_not_healthy(
    program: Program, later: str
) -> None:
    program.seed.add_connection("c", platform="stripe")
    program.run("tick")

    ended = program.run("health", "--json", CLEARLIFT_NOW=later)

    assert (ended.code, failing(ended)) == (7, ["missed_ticks", "stuck_relay"])


def test_ticks_that_are_rare_on_purpose_are_not_missed(program: Program) -> None:
    program.run("tick")

    weekly = program.run(
        "health", CLEARLIFT_NOW="2026-10-16T12:00:00Z", CLEARLIFT_CRON="0 12 * * 6"
    )

    assert weekly.code == 0
    assert weekly.out.startswith("ok: the database answers, and is up to date\nok: ")


def test_what_is_wrong_with_the_database_or_a_setting_is_said(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "empty.db").touch()

    old = program.run("health", "--database", "sqlite:///empty.db")
    none = program.run("health", "--database", "sqlite:///none.db", "--json")
    wrong = program.run("health", CLEARLIFT_CRON="often")

    assert [old.code, none.code, wrong.code] == [7, 7, 7]
    assert old.out.endswith(" migrations are not applied; next: clearlift-cron migrate\n")
    assert failing(none) == ["database"]
    assert "CLEARLIFT_CRON is 'often'" in wrong.out
