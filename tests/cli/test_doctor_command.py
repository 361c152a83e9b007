"""`clearlift-cron doctor`: its exit codes, its report, and that it changes nothing."""

from tests.cli.program import KEY, Program


def test_errors_and_with_strict_warnings_are_told_by_the_exit_code(program: Program) -> None:
    settings = {"ENCRYPTION_KEY": KEY}

    relaxed = program.run("doctor", "--json", **settings)
    strict = program.run("doctor", "--strict", **settings)
    ill = program.run("doctor", "--database", "sqlite:///none.db", "--json", **settings)

    assert [relaxed.code, strict.code, ill.code] == [0, 7, 7]
    report = relaxed.json
    assert (report["errors"], report["warnings"]) == (0, 3)
    assert [each["severity"] for each in report["findings"]] == ["warning"] * 3 + ["ok"] * report[
        "ok"
    ]
    assert all(each["remedy"] for each in report["findings"] if each["severity"] != "ok")
    level = next(each["values"] for each in report["findings"] if each["check"] == "delivery")
    assert level == {"queue": "sync-jobs", "level": "same transaction"}
    assert ill.json["findings"][0]["check"] == "database"
    assert not program.rows("runs")


def test_people_get_the_worst_first_then_the_settings_then_a_summary(program: Program) -> None:
    lines = program.run("doctor", ENCRYPTION_KEY=KEY).out.splitlines()

    assert lines[0].startswith("warning  clock: CLEARLIFT_NOW sets the clock")
    assert lines[1] == "         do: unset CLEARLIFT_NOW"
    assert "ENCRYPTION_KEY\tset\tenvironment" in lines
    assert "CLEARLIFT_BATCH_SIZE\t500\tdefault" in lines
    assert lines[-1].startswith("0 errors, 3 warnings, ")
