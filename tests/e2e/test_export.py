"""The API worker's own database, served end to end: see tests/e2e/export.py."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from clearlift_adapters.credentials import Column
from tests.e2e.authority import LIFETIME_S, platform_of, sent_in
from tests.e2e.export import NOW, Day, moment, run_day
from tests.e2e.json_schema import faults
from tests.e2e.program import CIPHER, Program
from tests.interop.webcrypto import webcrypto
from tests.loopback import Visit
from tests.workerd.program import CloudProgram

WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module", params=["sqlite", "cloudflare"])
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Run the day on a file and its queue, then on D1 and Queues."""

    def new_program(folder: Path, environment: Mapping[str, str]) -> Program:
        if request.param == "sqlite":
            return Program(folder, **environment)
        return CloudProgram(folder, request.getfixturevalue("workerd"), **environment)

    return run_day(tmp_path_factory.mktemp("export"), new_program)


def test_the_dump_has_what_makes_it_worth_serving(day: Day) -> None:
    synced = [row["last_synced_at"] or "" for row in day.due.values()]
    ends = [row["expires_at"] or "" for row in day.expiring.values()]

    formats = [{"T" in text for text in texts if text} for texts in (synced, ends)]

    assert formats == [{True, False}, {True, False}]
    assert "" in synced
    assert 0 < len(day.expiring) < len(day.due) < len(day.before)
    assert {row["platform"] for row in day.expiring.values()} == {"google", "facebook", "tiktok"}


def test_migrate_changes_no_row_and_no_column_of_the_api_worker(day: Day) -> None:
    assert day.unchanged


def test_exactly_the_due_connections_get_one_job_and_one_message_each(day: Day) -> None:
    jobs = day.program.rows("sync_jobs")

    messages = [line["body"] for line in day.messages]

    assert Counter(job["connection_id"] for job in jobs) == dict.fromkeys(day.due, 1)
    assert Counter(body["connection_id"] for body in messages) == dict.fromkeys(day.due, 1)
    assert {job["status"] for job in jobs} == {"pending"}


def test_exactly_the_expiring_tokens_are_refreshed(day: Day) -> None:
    report = day.ticks[0].report

    asked = Counter(_connection_of(visit) for visit in day.authority.visits)

    assert asked == dict.fromkeys(day.expiring, 1)
    assert report["refreshed"] == len(day.expiring)
    assert (report["due"], report["jobs_created"]) == (len(day.due), len(day.due))
    assert (report["failed"], report["deferred"], report["failures"]) == (0, 0, [])


def test_each_platform_is_asked_in_its_own_form(day: Day) -> None:
    google = {"client_id": "google client", "client_secret": "google secret"}
    facebook = {"client_id": "facebook app", "client_secret": "facebook secret"}
    tiktok = {"client_key": "tiktok key", "client_secret": "tiktok secret"}
    clients = {"google": google, "facebook": facebook, "tiktok": tiktok}

    for visit in day.authority.visits:
        platform = platform_of(visit)
        grant = "fb_exchange_token" if platform == "facebook" else "refresh_token"
        token = {"grant_type": grant, grant: sent_in(visit)}

        assert visit.form == {**clients[platform], **token}
        assert visit.method == "POST"


def test_node_decrypts_what_was_stored(day: Day) -> None:
    after = {id_: day.program.connection(id_) for id_ in day.expiring}
    sent = {id_: _token_of(day, id_) for id_ in day.expiring}

    access = webcrypto("open", [row["credentials_encrypted"] for row in after.values()])
    rotated = [id_ for id_ in after if sent[id_] in day.authority.renewed]
    refresh = webcrypto("open", [after[id_]["refresh_token_encrypted"] for id_ in rotated])

    assert access == [day.authority.granted[sent[id_]] for id_ in after]
    assert refresh == [day.authority.renewed[sent[id_]] for id_ in rotated]
    assert {after[id_]["platform"] for id_ in rotated} == {"tiktok"}


def test_a_refresh_token_that_was_not_replaced_is_kept_as_it_was(day: Day) -> None:
    kept = [row for row in day.expiring.values() if row["platform"] != "tiktok"]

    for before in kept:
        after = day.program.connection(before["id"])

        assert after["refresh_token_encrypted"] == before["refresh_token_encrypted"]
        assert after["credentials_encrypted"] != before["credentials_encrypted"]


def test_the_new_expiry_is_written_as_the_contract_says(day: Day) -> None:
    for connection_id in day.expiring:
        written = day.program.connection(connection_id)["expires_at"]

        assert WRITTEN.fullmatch(written)
        # A lifetime counts from the request, which leaves within seconds of the tick's beginning.
        late = moment(written) - NOW - timedelta(seconds=LIFETIME_S)
        assert timedelta(0) <= late < timedelta(minutes=1)


def test_nothing_else_of_the_api_worker_is_touched(day: Day) -> None:
    tokens = ("credentials_encrypted", "refresh_token_encrypted", "expires_at")

    for before in day.before.values():
        after = day.program.connection(before["id"])
        changed = {column for column in before if before[column] != after[column]}

        assert changed <= set(tokens if before["id"] in day.expiring else ())


def test_a_second_tick_at_once_does_nothing(day: Day) -> None:
    counts = ("due", "refreshed", "jobs_created", "failed", "deferred", "delivered")

    report = day.ticks[1].report

    assert {name: report[name] for name in counts} == dict.fromkeys(counts, 0)
    assert len(day.authority.visits) == len(day.expiring)


def test_relay_delivers_each_message_once(day: Day) -> None:
    first, second = (done.report for done in day.relays)

    assert (first["delivered"], first["already_delivered"], first["pending"]) == (
        len(day.due),
        0,
        0,
    )
    assert (second["delivered"], second["already_delivered"], second["pending"]) == (0, 0, 0)


def test_each_message_is_what_the_schema_promises(day: Day) -> None:
    text = files("clearlift_schema").joinpath("sync_job_message.schema.json").read_bytes()
    schema = msgspec.json.decode(text, type=dict[str, Any])

    for line in day.messages:
        assert list(faults(schema, line["body"])) == []
        assert line["job_id"] == line["body"]["job_id"]
        assert line["attempts"] == 0


def test_job_row_event_and_message_say_the_same(day: Day) -> None:
    jobs = {row["id"]: row for row in day.program.rows("sync_jobs")}
    created = [row for row in day.program.rows("outbox") if row["transition"] == "job_created"]
    events = {row["job_id"]: msgspec.json.decode(row["data"])["message"] for row in created}

    for body in (line["body"] for line in day.messages):
        job = jobs[body["job_id"]]
        metadata = msgspec.json.decode(job["metadata"])

        assert body == events[body["job_id"]]
        assert metadata == {
            "platform": body["platform"],
            "account_id": body["account_id"],
            "sync_window": {"type": body["job_type"], **body["sync_window"]},
            "created_by": "cron-worker",
            "run_id": day.ticks[0].report["run_id"],
        }
        same = ("organization_id", "connection_id", "job_type")
        assert {name: job[name] for name in same} == {name: body[name] for name in same}
        assert job["created_at"] == body["metadata"]["created_at"]


def test_each_window_is_what_the_raw_row_calls_for(day: Day) -> None:
    for body in (line["body"] for line in day.messages):
        synced = day.before[body["connection_id"]]["last_synced_at"]
        start, end = (moment(body["sync_window"][name]) for name in ("start", "end"))
        first = synced is None

        assert end == NOW
        assert start == (NOW - timedelta(days=7) if first else moment(synced))
        assert body["job_type"] == ("full" if first else "incremental")
        assert body["metadata"]["priority"] == ("high" if first else "normal")


def test_replay_finds_nothing_amiss(day: Day) -> None:
    report = day.replay.report

    assert report["violations"] == []
    assert report["connections"] == len(day.due)
    assert report["events"] == 3 * len(day.due) + len(day.expiring)


def test_the_log_says_nothing_of_a_day_without_trouble(day: Day) -> None:
    every = [*day.ticks, *day.relays, day.queue, day.replay]

    assert [line for done in every for line in done.log] == []


def test_what_writes_says_that_the_clock_is_not_the_time_of_day(day: Day) -> None:
    writing, reading = [*day.ticks, *day.relays], [day.queue, day.replay]

    said = [[b"CLEARLIFT_NOW is set" in done.err for done in runs] for runs in (writing, reading)]

    assert said == [[True] * 4, [False] * 2]


def _connection_of(visit: Visit) -> str:
    return sent_in(visit)[len("rt-") :]


def _token_of(day: Day, connection_id: str) -> str:
    """Return the plaintext that had to be sent for a connection, from the dump itself."""
    row = day.before[connection_id]
    facebook = row["platform"] == "facebook"
    column: Column = "credentials_encrypted" if facebook else "refresh_token_encrypted"
    return CIPHER.open(row[column], connection_id=connection_id, column=column)
