"""What the command line says when Cloudflare says no: each its own sentence, and code 4 or 5."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from clearlift_adapters.cli import exits
from clearlift_adapters.cli.commands import run
from tests.loopback import closed_port
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.faults import FOREVER, Fault
from tests.workerd.program import CloudProgram

READ_LIMIT: Final = "Your account has exceeded D1's free tier daily row read limit."
STORAGE: Final = "Your account has exceeded D1's maximum account storage limit"
LATE: Final = "refused until 2026-10-10T12:02:0"  # Two minutes, and what the test takes.


class Case(NamedTuple):
    """What is wrong, what is run, and what is said to that."""

    command: str
    code: int
    says: str
    environment: Mapping[str, str] = {}  # {…} in it is the stage's.
    fault: Fault | None = None


CASES: Final[Mapping[str, Case]] = {
    "no token": Case("tick", 4, "CLOUDFLARE_API_TOKEN is not set", {"CLOUDFLARE_API_TOKEN": ""}),
    "wrong token": Case(
        "tick", 4, "CLOUDFLARE_API_TOKEN is wrong", {"CLOUDFLARE_API_TOKEN": "another"}
    ),
    "token without D1": Case(
        "tick", 4, "give it the permission D1 Edit", {"CLOUDFLARE_API_TOKEN": "{queues_token}"}
    ),
    "token without Queues": Case(
        "queue depth",
        4,
        "give it the permission Queues Edit",
        {"CLOUDFLARE_API_TOKEN": "{d1_token}"},
    ),
    "another account": Case(
        "tick", 4, "correct ACCOUNT_ID", {"CLEARLIFT_DATABASE": "d1://other/{database}"}
    ),
    "unknown database": Case(
        "tick", 4, "no such database", {"CLEARLIFT_DATABASE": "d1://{account}/unknown"}
    ),
    "unknown queue": Case(
        "queue depth", 4, "no such queue", {"CLEARLIFT_QUEUE": "cloudflare://{account}/unknown"}
    ),
    "no ids": Case("tick", 4, "two ids", {"CLEARLIFT_DATABASE": "d1://{account}"}),
    "another place": Case(
        "tick", 4, "CLOUDFLARE_API_BASE_URL", {"CLOUDFLARE_API_BASE_URL": "http://api.example"}
    ),
    "no tables": Case("tick", 4, "run `clearlift-cron migrate`"),
    "plan of D1": Case("tick", 5, "midnight UTC", fault=faults.error(400, 7500, READ_LIMIT)),
    "room in D1": Case("tick", 5, "no room left", fault=faults.error(400, 7500, STORAGE)),
    "plan of Queues": Case(
        "queue depth", 5, "limit for Queues", fault=faults.error(429, 10253, "Free tier limit")
    ),
    "room in Queues": Case(
        "queue depth", 5, "storage is full", fault=faults.error(429, 10251, "Storage limit")
    ),
    "paused queue": Case(
        "queue depth", 4, "resume-delivery", fault=faults.error(429, 10252, "Queue disabled")
    ),
    "rate limit": Case("tick", 5, LATE, fault=faults.rate_limited(retry_after_s=120)),
    "outage": Case("tick", 5, "cannot be read (HTTP 502)", fault=faults.html()),
    "overload": Case("queue depth", 5, "Queues is overloaded", fault=faults.overloaded()),
}


@pytest.fixture(params=CASES)
def case(
    request: pytest.FixtureRequest,
    workerd: Cloudflare,
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Case:
    """Set the environment of a case, and its fault."""
    found = CASES[request.param]
    program = CloudProgram(tmp_path, workerd)
    filled = {**msgspec.structs.asdict(workerd.tokens), **msgspec.structs.asdict(program.stage)}
    changes = {name: text.format(**filled) for name, text in found.environment.items()}
    monkeypatch.chdir(tmp_path)
    for name, text in {**program.environment, **changes}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("CLEARLIFT_NOW", "2026-10-10T12:00:00Z")
    if found.fault is not None:
        workerd.inject(found.fault.at("*", times=FOREVER))
    return found


def test_refusal_is_one_sentence_and_its_code(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(case.command.split())

    out, err = capsys.readouterr()
    events = [msgspec.json.decode(line)["event"] for line in err.splitlines()]
    said = [event for event in events if "CLEARLIFT_NOW" not in event]
    assert code == case.code
    assert out == ""
    assert len(said) == 1, said
    assert case.says in said[0]


def test_every_case_says_something_of_its_own() -> None:
    assert len({case.says for case in CASES.values()}) == len(CASES)
    assert {case.code for case in CASES.values()} == {exits.MISCONFIGURED, exits.UNREACHABLE}


async def test_whoever_is_refused_for_minutes_does_not_ask_again(
    workerd: Cloudflare, tmp_path: Path
) -> None:
    program = CloudProgram(tmp_path, workerd)
    workerd.inject(faults.rate_limited(retry_after_s=120).at("*", times=FOREVER))

    done = await program.run("tick")

    assert done.code == 5
    assert [LATE in line["event"] for line in done.log] == [True]
    assert [each.status for each in workerd.requests()] == [429]


async def test_process_says_it_too(workerd: Cloudflare, tmp_path: Path) -> None:
    program = CloudProgram(tmp_path, workerd, CLOUDFLARE_API_TOKEN="another")

    done = await program.run("tick", "--json")

    [line] = done.log
    assert (done.code, done.out) == (4, b"")
    assert "CLOUDFLARE_API_TOKEN is wrong" in line["event"]
    assert b"another" not in done.err


async def test_what_cannot_be_reached_is_said_to_be(workerd: Cloudflare, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    program = CloudProgram(tmp_path, workerd, CLOUDFLARE_API_BASE_URL=nowhere)

    done = await program.run("replay")

    assert done.code == 5
    assert ["D1 cannot be reached" in line["event"] for line in done.log] == [True]
