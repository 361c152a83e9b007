"""Checks on facts alone: files and their modes, the machine, margins and promises."""

from pathlib import Path
from typing import get_args

import pytest

from clearlift_adapters.doctor import database, files, start, tokens, work
from clearlift_adapters.doctor.findings import Finding, Findings, Severity
from clearlift_adapters.stores import library
from clearlift_adapters.stores.checkup import Claims
from clearlift_engine.events import Level
from clearlift_engine.policy import MINUTE_MS
from clearlift_engine.ports import Depth
from tests.given import NOW_MS

MOUNTS = """overlay / overlay rw 0 0
tmpfs /run tmpfs rw 0 0
server:/export /srv/shared nfs4 rw 0 0
/dev/sda1 /srv ext4 rw 0 0
"""


def only(findings: Findings) -> Finding:
    [finding] = findings
    return finding


@pytest.mark.parametrize(
    ("mode", "severity"), [(0o600, "ok"), (0o660, "ok"), (0o604, "warning"), (0o602, "error")]
)
def test_a_database_is_for_its_owner_and_group(
    tmp_path: Path, mode: int, severity: Severity
) -> None:
    file = tmp_path / "clearlift.db"
    file.touch(0o600)
    log = tmp_path / "clearlift.db-wal"
    log.touch()
    log.chmod(mode)

    found = only(files.database_files(file))

    assert found.severity == severity
    assert found.values == {str(file): "0600", str(log): f"{mode:04o}"}


@pytest.mark.parametrize(
    ("path", "severity"),
    [("/srv/a.db", "ok"), ("/srv/shared/a.db", "error"), ("/run/a.db", "warning"), ("/a.db", "ok")],
)
def test_a_database_belongs_on_a_local_disk(path: str, severity: Severity) -> None:
    assert only(files.file_system(Path(path), MOUNTS)).severity == severity
    assert list(files.file_system(Path(path), "")) == []


def test_a_pipe_as_the_file_of_a_secret_is_nobodys_to_read(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o646)

    found = only(start.secret_files({"KEY_FILE": tmp_path / "open"}))

    assert "readable and writable by every user" in found.found
    assert list(start.secret_files({"KEY_FILE": Path("/dev/null")})) == []
    assert list(start.secret_files({"KEY_FILE": tmp_path / "gone"})) == []


def test_a_clock_before_2025_is_an_error_unless_somebody_has_set_it() -> None:
    machine = only(start.clock(start.YEAR_2025_MS - 1, is_set=False))
    variable = only(start.clock(start.YEAR_2025_MS - 1, is_set=True))

    assert (machine.severity, variable.severity) == ("error", "warning")
    assert (machine.remedy, variable.remedy) == (
        *("set the clock, and let NTP keep it", "unset CLEARLIFT_NOW"),
    )
    assert only(start.clock(start.YEAR_2025_MS, is_set=False)).severity == "ok"


def test_an_old_library_is_warned_of_where_files_are_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert only(start.library("sqlite:///x.db")).severity == (
        "ok" if library.wal_is_safe() else "warning"
    )
    monkeypatch.setattr(start, "wal_is_safe", lambda: False)

    assert "pysqlite3" in (only(start.library("sqlite:///x.db")).remedy or "")
    assert list(start.library("d1://a/b")) == []


@pytest.mark.parametrize(
    ("journal", "synchronous", "severity"),
    [
        *(("wal", 2, "ok"), ("delete", 3, "ok")),
        *(("wal", 1, "error"), ("memory", 2, "error"), ("off", 2, "error")),
    ],
)
def test_what_is_committed_survives_or_it_is_an_error(
    journal: str, synchronous: int, severity: Severity
) -> None:
    assert only(database.durability(journal, synchronous)).severity == severity


def test_the_margin_has_to_exceed_tick_and_wait_and_the_remedy_does() -> None:
    tick_ms, wait_ms = 15 * MINUTE_MS, 3 * MINUTE_MS
    short = only(tokens.margin(tick_ms + wait_ms, tick_ms, wait_ms))

    assert short.severity == "warning"
    remedy_ms = int((short.remedy or "").removeprefix("CLEARLIFT_REFRESH_MARGIN=")) * 1000
    assert only(tokens.margin(remedy_ms, tick_ms, wait_ms)).severity == "ok"


def test_every_level_of_delivery_is_told_in_the_words_of_the_promise() -> None:
    words = [only(work.delivery("sync-jobs", level)).values["level"] for level in get_args(Level)]

    assert sorted(map(str, words)) == [
        *("at least once + stable id", "same transaction", "windowed dedupe", "windowless dedupe"),
    ]


def test_dead_letters_and_a_silent_queue_are_no_missing_consumer() -> None:
    claims = Claims(jobs=5, claimed=0, wait_ms=0)

    silent = only(work.consumer(None, claims, NOW_MS))
    [consumer, dead] = work.consumer(Depth(1, NOW_MS, dead=2), claims, NOW_MS)

    assert (silent.severity, consumer.severity, dead.severity) == ("ok", "ok", "warning")
