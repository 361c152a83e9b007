"""`clearlift-cron doctor`: what is wrong comes first, each with its remedy; nothing stops it."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clearlift_adapters.cipher import FieldCipher
from tests.cli.program import KEY, Ended, Program

OTHER_KEY = b64encode(bytes(range(32, 64))).decode()
GOOGLE = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret of google"}

Found = Mapping[str, Any]


def findings(ended: Ended) -> Mapping[str, Found]:
    """Return the findings by name; of several of one name the worst."""
    return {each["check"]: each for each in reversed(ended.json["findings"])}


def test_a_sound_installation_has_no_error_and_strict_counts_warnings(program: Program) -> None:
    settings = {"ENCRYPTION_KEY": KEY, **GOOGLE}
    program.seed.add_connection("c", credentials_encrypted=FieldCipher(KEY).seal("token"))
    program.seed.update_connection("c", refresh_token_encrypted=None)
    program.run("tick", "--relay", **settings)

    relaxed = program.run("doctor", "--json", **settings)
    strict = program.run("doctor", "--strict", "--json", **settings)

    assert (relaxed.code, strict.code) == (0, 7)
    assert relaxed.json["errors"] == 0
    warned = {each["check"] for each in relaxed.json["findings"] if each["severity"] == "warning"}
    assert warned == {"clock", "refresh_margin"}
    assert "1200" in findings(relaxed)["refresh_margin"]["remedy"]
    assert findings(relaxed)["delivery"]["values"]["level"] == "same transaction"


def test_each_setting_is_told_with_its_origin_and_no_secret(program: Program) -> None:
    file = program.folder / "clearlift.toml"
    file.write_text("\nbatch_size = 7\n")
    secret = program.folder / "secret"
    secret.write_text("secret of tiktok")
    secret.chmod(0o600)

    ended = program.run(
        *("doctor", "--json", "--database", "sqlite:///clearlift.db"),
        ENCRYPTION_KEY=KEY,
        TIKTOK_APP_SECRET_FILE=str(secret),
        CLEARLIFT_REFRESH_MARGIN="900",
    )

    values = findings(ended)["configuration"]["values"]
    assert values["CLEARLIFT_DATABASE"]["from"] == "--database"
    assert values["CLEARLIFT_REFRESH_MARGIN"] == {"value": 900, "from": "environment"}
    assert values["CLEARLIFT_BATCH_SIZE"] == {"value": 7, "from": "clearlift.toml:2"}
    assert values["ENCRYPTION_KEY"] == {"set": True, "from": "environment"}
    assert values["TIKTOK_APP_SECRET"]["from"] == "environment TIKTOK_APP_SECRET_FILE"
    assert KEY not in ended.out
    assert "secret of" not in ended.out


def test_every_wrong_setting_is_told_and_the_rest_is_looked_at(program: Program) -> None:
    wrong = {"CLEARLIFT_BATCH_SIZE": "many", "CLEARLIFT_FAIL_THRESHOLD": "-1"}

    ended = program.run("doctor", "--json", CLEARLIFT_CRON="often", **wrong)

    said = [each["found"] for each in ended.json["findings"] if each["severity"] == "error"]
    assert ended.code == 7
    for name in (*wrong, "CLEARLIFT_CRON"):
        assert any(text.startswith(name) for text in said)
    assert findings(ended)["schema"]["severity"] == "ok"


def test_a_key_that_opens_nothing_is_an_error_and_a_previous_one_a_warning(
    program: Program,
) -> None:
    program.seed.add_connection("c", credentials_encrypted=FieldCipher(KEY).seal("token"))
    program.seed.update_connection("c", refresh_token_encrypted=None)

    wrong = program.run("doctor", "--json", ENCRYPTION_KEY=OTHER_KEY)
    old = program.run(
        "doctor", "--json", ENCRYPTION_KEY=OTHER_KEY, ENCRYPTION_KEY_PREVIOUS=KEY, **GOOGLE
    )
    none = program.run("doctor", "--json")

    assert (wrong.code, old.code, none.code) == (7, 0, 7)
    assert findings(wrong)["key"]["severity"] == "error"
    assert findings(old)["key"]["remedy"] == "clearlift-cron keys rotate"
    assert findings(none)["key"]["found"] == "ENCRYPTION_KEY is not set"


def test_clients_that_lack_are_named_by_their_settings(program: Program) -> None:
    program.seed.add_connection("c", platform="tiktok")
    program.seed.add_connection("off", platform="facebook", is_active=0)

    ended = program.run("doctor", "--json", ENCRYPTION_KEY=KEY)

    clients = [each for each in ended.json["findings"] if each["check"] == "client"]
    assert [each["values"]["platform"] for each in clients] == ["tiktok"]
    assert clients[0]["severity"] == "error"
    assert "TIKTOK_APP_KEY and TIKTOK_APP_SECRET" in clients[0]["remedy"]


def test_times_that_are_mixed_or_none_are_found_and_so_is_a_missing_consumer(
    program: Program,
) -> None:
    stripe = {"platform": "stripe", "last_synced_at": "2026-10-10 09:00:00"}
    program.seed.add_connection("plain", **stripe)
    program.seed.add_connection("iso", platform="stripe", last_synced_at="2026-10-10T09:00:00.000Z")
    program.seed.add_connection("odd", platform="stripe", last_synced_at="yesterday")
    program.run("tick", "--relay")

    ended = program.run("doctor", "--json", CLEARLIFT_NOW="2026-10-10T14:00:00Z")

    found = findings(ended)
    assert found["mixed_times"]["looked_at"] == "platform_connections.last_synced_at"
    assert found["unreadable_times"]["values"]["example"] == "odd"
    assert found["consumer"]["found"].startswith("no consumer: 0 of the newest 3 jobs")
    assert found["ticks"]["values"]["missed"] == 7


def test_a_consumer_that_claims_jobs_is_no_missing_one(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    program.run("tick", "--relay")
    [job] = program.rows("sync_jobs")
    program.seed.update_job(job["id"], status="running", started_at="2026-10-10 12:02:00")

    ended = program.run("doctor", "--json", CLEARLIFT_NOW="2026-10-10T14:00:00Z")

    assert findings(ended)["consumer"]["severity"] == "warning"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_is_not_there_is_a_finding_too(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    program = Program.__new__(Program)
    program.folder = tmp_path

    ended = program.run("doctor", *arguments)

    assert ended.code == 7
    assert "there is no database at clearlift.db" in ended.out
    assert "create it with `clearlift-cron migrate`" in ended.out


def test_doctor_changes_nothing(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")

    program.run("doctor")

    assert not program.rows("runs")
    assert not program.rows("outbox")
