"""`runs`: the questions of operators, and their statements."""

from tests.cli.program import Program


def test_runs_tell_how_long_what_it_cost_and_what_all_add_up_to(program: Program) -> None:
    program.seed.add_connection("a", platform="stripe")
    program.run("tick")
    program.run("relay", "--drain")

    *found, last = program.run("runs", "--json").lines
    shown = program.run("runs", "--command", "tick", "--since", "30m").out

    assert [(run["command"], run["outcome"]) for run in found] == [
        ("relay", "done"),
        ("tick", "done"),
    ]
    assert all(run["cpu_ms"] > 0 for run in found)
    assert last["total"]["cpu_ms"] == sum(run["cpu_ms"] for run in found)
    assert (found[1]["due"], found[1]["jobs_created"], found[0]["delivered"]) == (1, 1, 1)
    assert "relay" not in shown
    assert "1 run: 0 not done, 0 not ended; 0 connections failed; took " in shown
