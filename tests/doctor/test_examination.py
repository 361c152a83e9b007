"""What an examination finds: each illness, by the name that scripts know, with its remedy."""

import sys
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from hashlib import sha256
from typing import Any, cast

import pytest

from clearlift_adapters import published
from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.cli.starting import refuse_unsafe
from clearlift_adapters.doctor import work
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import HOUR_MS, iso
from tests.doctor.conftest import Patient
from tests.given import NOW_MS
from tests.seed import Row

KEY = b64encode(sha256(b"a key").digest()).decode()
OTHER_KEY = b64encode(sha256(b"another key").digest()).decode()
GOOGLE = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret of google"}
LATER = iso(NOW_MS + 2 * HOUR_MS)


def add_tokens(patient: Patient, key: str) -> None:
    sealed = FieldCipher(key).seal("token")
    patient.seed.add_connection("c", credentials_encrypted=sealed, refresh_token_encrypted=None)


def told(patient: Patient, **environment: str) -> Mapping[str, Mapping[str, Any]]:
    """Return how the settings are told."""
    values = patient.findings(**environment)["configuration"].values
    return cast("Mapping[str, Mapping[str, Any]]", values)


def test_each_setting_is_told_with_its_origin_and_no_secret(patient: Patient) -> None:
    file, secret = patient.folder / "clearlift.toml", patient.folder / "secret"
    file.write_text("\nbatch_size = 7\n")
    secret.write_text("secret of tiktok")

    values = told(
        patient,
        CLEARLIFT_CONFIG=str(file),
        ENCRYPTION_KEY=KEY,
        TIKTOK_APP_SECRET_FILE=str(secret),
        GOOGLE_TOKEN_URL="https://proxy.example/token?key=hidden",
    )

    assert values["CLEARLIFT_BATCH_SIZE"] == {"value": 7, "from": f"{file}:2"}
    assert values["ENCRYPTION_KEY"] == {"set": True, "from": "environment"}
    assert values["AUDIT_SIGNING_KEY"] == {"set": False, "from": "default"}
    assert values["TIKTOK_APP_SECRET"]["from"] == "environment TIKTOK_APP_SECRET_FILE"
    assert values["GOOGLE_TOKEN_URL"]["value"] == "https://proxy.example/token"
    assert KEY not in str(values)
    assert "secret of" not in str(values)


def test_every_wrong_setting_is_told_and_the_rest_is_looked_at(patient: Patient) -> None:
    wrong = {"CLEARLIFT_BATCH_SIZE": "many", "CLEARLIFT_FAIL_THRESHOLD": "-1"}

    found = patient.all_findings(**wrong, CLEARLIFT_CRON="often", CLEARLIFT_BACH="1")

    said = [each.found for each in found if each.severity == "error"]
    for name in (*wrong, "CLEARLIFT_CRON"):
        assert any(text.startswith(name) for text in said)
    assert [each.severity for each in found if each.check == "schema"] == ["ok"]
    assert [each.severity for each in found if each.check == "unknown_setting"] == ["warning"]


def test_a_file_that_cannot_be_read_leaves_the_machine_to_look_at(patient: Patient) -> None:
    found = patient.findings(CLEARLIFT_CONFIG=str(patient.folder / "nowhere.toml"))

    assert found["setting"].remedy
    assert "clock" in found
    assert "schema" not in found


def test_a_key_that_opens_nothing_is_an_error_and_a_previous_one_a_warning(
    patient: Patient,
) -> None:
    add_tokens(patient, KEY)

    wrong = patient.findings(ENCRYPTION_KEY=OTHER_KEY)["key"]
    old = patient.findings(ENCRYPTION_KEY=OTHER_KEY, ENCRYPTION_KEY_PREVIOUS=KEY)["key"]
    none = patient.findings()["key"]
    well = patient.findings(ENCRYPTION_KEY=KEY)["key"]

    assert [each.severity for each in (wrong, old, none, well)] == [
        *("error", "warning", "error", "ok")
    ]
    assert old.remedy == "clearlift-cron keys rotate"
    assert none.found == "ENCRYPTION_KEY is not set"


def test_a_published_key_is_told_and_tried_no_more(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = sha256(KEY.encode()).hexdigest()
    monkeypatch.setattr(published.refuse_published, "__defaults__", ({fingerprint},))
    add_tokens(patient, KEY)

    found = patient.findings(ENCRYPTION_KEY=KEY)

    assert found["setting"].found.startswith("ENCRYPTION_KEY is a key that was published")
    assert "keys rotate" in (found["setting"].remedy or "")
    assert "key" not in found


def test_clients_that_lack_are_named_by_their_settings(patient: Patient) -> None:
    patient.seed.add_connection("c", platform="tiktok")
    patient.seed.add_connection("s", platform="stripe")
    patient.seed.add_connection("p", platform="pinterest")
    patient.seed.add_connection("off", platform="facebook", is_active=0)

    found = [each for each in patient.all_findings() if each.check == "client"]

    assert [(each.values["platform"], each.severity) for each in found] == [
        *(("pinterest", "warning"), ("stripe", "ok"), ("tiktok", "error"))
    ]
    assert "TIKTOK_APP_KEY and TIKTOK_APP_SECRET" in (found[2].remedy or "")


def test_times_that_are_mixed_or_none_are_found(patient: Patient) -> None:
    for name, at in {"a": "2026-10-10 09:00:00", "b": "2026-10-10T09:00:00Z", "odd": "now"}.items():
        patient.seed.add_connection(name, last_synced_at=at)

    found = patient.findings()

    assert found["mixed_times"].looked_at == "platform_connections.last_synced_at"
    assert found["mixed_times"].values == {"plain": 1, "iso": 1, "unreadable": 1}
    assert found["unreadable_times"].values["example"] == "odd"


def test_stuck_connections_and_old_messages_are_found(patient: Patient) -> None:
    patient.seed.add_connection("c", sync_status="syncing", last_synced_at="2026-10-01 00:00:00")
    patient.seed.add_job("j", "c", status="pending")
    message: Row = {"job_id": "j", "body": "{}", "enqueued_at": NOW_MS, "visible_at": NOW_MS}
    patient.tables.insert("queue_messages", message)

    nobody = patient.findings(CLEARLIFT_NOW=LATER)
    patient.seed.update_job("j", status="running")
    somebody = patient.findings(CLEARLIFT_NOW=LATER)

    assert nobody["stuck_syncing"].severity == "warning"
    assert nobody["consumer"].found.startswith("no consumer: 0 of the newest 1 jobs")
    assert nobody["consumer"].severity == "error"
    assert somebody["consumer"].severity == "warning"


def test_ticks_that_are_rarer_than_the_schedule_or_killed_are_found(patient: Patient) -> None:
    for number, ended in enumerate((None, "done", "done")):
        at_ms = NOW_MS + number * HOUR_MS
        end_ms = None if ended is None else at_ms + 1
        row: Row = {
            "id": f"r{number}",
            "command": "tick",
            "started_at": at_ms,
            "finished_at": end_ms,
        }
        patient.tables.insert("runs", {**row, "outcome": ended})

    often, rarely = (
        patient.findings(CLEARLIFT_NOW=LATER),
        patient.findings(CLEARLIFT_NOW=LATER, CLEARLIFT_CRON="0 * * * *"),
    )

    assert (often["ticks"].severity, often["ticks"].values["missed"]) == ("warning", 6)
    assert rarely["ticks"].severity == "ok"
    assert often["killed_ticks"].values == {"ticks": 1}


def test_a_database_without_tables_or_none_at_all_is_a_finding(patient: Patient) -> None:
    (patient.folder / "empty.db").touch()

    empty = patient.findings(CLEARLIFT_DATABASE=f"sqlite:///{patient.folder}/empty.db")
    none = patient.findings(CLEARLIFT_DATABASE=f"sqlite:///{patient.folder}/none.db")

    assert empty["schema"].severity == "error"
    assert (empty["schema"].remedy or "").startswith("clearlift-cron migrate")
    assert "work" not in empty
    assert "create it with `clearlift-cron migrate`" in (none["database"].remedy or "")


def test_what_is_broken_in_one_part_hides_no_other(patient: Patient) -> None:
    with closing(sqlite3.connect(patient.file)) as raw:
        raw.execute("ALTER TABLE runs RENAME COLUMN report TO said")

    found = patient.findings(ENCRYPTION_KEY=KEY)

    assert found["work"].severity == "error"
    assert found["key"].severity == "ok"


def test_nothing_crosses_the_network_unasked(patient: Patient) -> None:
    remote = patient.findings(CLEARLIFT_DATABASE="d1://account/database")
    queue = patient.findings(CLEARLIFT_QUEUE="cloudflare://account/queue")

    for found in (remote, queue):
        assert found["remote"].remedy == "clearlift-cron doctor --online"
    assert "database_file" in queue


def test_a_start_looks_at_its_surroundings_without_loading_anything(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = patient.folder / "secret"
    secret.write_text(KEY)
    flags = Flags({"ENCRYPTION_KEY_FILE": str(secret), "CLEARLIFT_NOW": LATER})
    flags.verbosity = -1
    assert flags.settings.encryption_key is not None
    loaded = set(sys.modules)
    monkeypatch.setattr("builtins.open", None)

    refuse_unsafe(flags)

    assert set(sys.modules) == loaded


def test_tokens_that_wait_beside_the_database_are_told(patient: Patient) -> None:
    assert "rescued_tokens" not in patient.findings()
    [told_of] = work.rescued(2)

    assert told_of.values == {"answers": 2}
