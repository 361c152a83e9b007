"""`relay` as a process: until the outbox is empty, or until it is told to end."""

import signal

from tests.cli.program import Ended, Program


def test_draining_delivers_what_waits_and_says_so_in_the_documented_keys(program: Program) -> None:
    program.seed.add_connection("a")
    program.seed.add_connection("b")
    program.run("tick")

    ended = program.run("relay", "--drain", "--batch", "1", "--json")
    again = program.run("relay", "--drain")

    assert ended.code == 0
    assert list(ended.json) == [
        "run_id",
        "delivered",
        "already_delivered",
        "pending",
        "duration_ms",
    ]
    assert (ended.json["delivered"], ended.json["pending"]) == (2, 0)
    assert again.out == "0 delivered, 0 already delivered, 0 pending\n"
    assert [run["command"] for run in program.rows("runs")] == ["tick", "relay", "relay"]


def test_a_relay_goes_on_until_sigterm_and_then_ends_cleanly(program: Program) -> None:
    program.seed.add_connection("a")
    program.run("tick")
    relay = program.start("relay", "--interval", "0.01", "--json", "-v")
    assert relay.stderr is not None

    lines = iter(relay.stderr)
    begun = next(line for line in lines if '"event":"relaying"' in line)
    delivered = next(line for line in lines if '"event":"delivered"' in line)
    relay.send_signal(signal.SIGTERM)
    out, err = relay.communicate(timeout=60)

    ended = Ended(relay.returncode, out, err)
    assert '"until":"SIGTERM"' in begun
    assert '"jobs":1' in delivered
    assert (ended.code, ended.json["delivered"], ended.json["pending"]) == (0, 1, 0)
    assert program.rows("runs")[-1]["outcome"] == "done"
