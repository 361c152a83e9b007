"""`demo` as a newcomer runs it: a process, a folder, and an environment that is nobody's."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from clearlift_adapters.demo.provider import MARK
from clearlift_adapters.demo.story import FEWEST, NEWCOMERS
from clearlift_adapters.stores.library import sqlite3
from tests.cli.program import Ended

ENCRYPTED = re.compile(r"[A-Za-z0-9+/]{16}:[A-Za-z0-9+/=]*:[A-Za-z0-9+/]{22}==")
MISLEADING = {
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "CLEARLIFT_CONFIG": "/no/such/file",
    "CLEARLIFT_DATABASE": "nonsense://",
    "CLEARLIFT_NOW": "never",
    "ENCRYPTION_KEY": "too short",
    "GOOGLE_TOKEN_URL": "http://example.com/",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "SSL_CERT_FILE": "/no/such/file",
}


class Demo(NamedTuple):
    """A demo that has ended, where it ran, and what it left."""

    ended: Ended
    folder: Path
    file: Path

    @property
    def report(self) -> dict[str, Any]:
        return msgspec.json.decode(self.ended.out, type=dict[str, Any])

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a plain SQLite connection reads from the file."""
        with closing(sqlite3.connect(self.file)) as db:
            return db.execute(statement).fetchall()


def run(folder: Path, environment: Mapping[str, str], *arguments: str) -> Ended:
    command = (sys.executable, "-W", "error", "-m", "clearlift_adapters.cli", *arguments)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run the smallest demo, for JSON, with nothing in its environment."""
    folder = tmp_path_factory.mktemp("elsewhere")
    kept = tmp_path_factory.mktemp("kept") / "100 % new"
    ended = run(folder, {}, "demo", "--json", "--connections", str(FEWEST), "--keep", str(kept))
    return Demo(ended, folder, kept / "demo.db")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run it for people, where everything that could mislead it is set."""
    folder, temporary = tmp_path_factory.mktemp("misled"), tmp_path_factory.mktemp("temporary")
    (folder / "clearlift.toml").write_text("this is no TOML")
    environment = {**MISLEADING, "TMPDIR": str(temporary)}
    ended = run(folder, environment, "demo", "--connections", str(FEWEST))
    [file] = temporary.glob("*/demo.db")
    return Demo(ended, folder, file)


def test_demo_ends_well_and_says_nothing_else(demo: Demo) -> None:
    report = demo.report

    assert (demo.ended.code, demo.ended.err) == (0, "")
    assert [check["what"] for check in report["checks"] if not check["ok"]] == []
    assert len(report["checks"]) >= 10
    assert report["totals"]["connections"] == FEWEST + NEWCOMERS.count
    assert report["ticks"] == 97


def test_demo_reports_what_is_in_the_file(demo: Demo) -> None:
    platforms = {name: tuple(totals.values()) for name, totals in demo.report["platforms"].items()}

    in_the_file = demo.ask(
        """
        SELECT c.platform, count(DISTINCT c.id),
          (SELECT count(*) FROM sync_jobs AS j JOIN platform_connections AS p
            ON p.id = j.connection_id
            WHERE p.platform = c.platform AND j.metadata LIKE '%"cron-worker"%'),
          sum(o.transition IS 'job_enqueued'),
          sum(o.transition IS 'job_created' AND o.data LIKE '%"attempts":%'),
          sum(o.transition IS 'sync_failed')
        FROM platform_connections AS c LEFT JOIN outbox AS o ON o.connection_id = c.id
        GROUP BY c.platform
        """
    )

    assert platforms == {platform: tuple(totals) for platform, *totals in in_the_file}
    assert {"google", "facebook", "tiktok", "stripe"} <= platforms.keys()


def test_what_demo_leaves_can_be_replayed(demo: Demo) -> None:
    url = f"sqlite:///{str(demo.file).replace('%', '%25')}"

    ended = run(demo.folder, {}, "--database", url, "replay", "--json")

    replayed, reported = ended.json, demo.report["replay"]
    assert ended.code == 0
    assert replayed["events"] == reported["events"] == demo.ask("SELECT count(*) FROM outbox")[0][0]
    assert (replayed["digest"], replayed["violations"]) == (reported["digest"], [])


def test_demo_writes_two_files_and_only_their_owner_may_read_them(demo: Demo) -> None:
    page = demo.file.with_name("clearlift-report.html")

    assert list(demo.folder.iterdir()) == []
    assert sorted(demo.file.parent.iterdir()) == [page, demo.file]
    assert {file.stat().st_mode & 0o777 for file in (page, demo.file)} == {0o600}


def test_demo_ends_with_a_page_of_its_day(demo: Demo) -> None:
    text = Path(demo.report["page"]).read_text(encoding="utf-8")

    assert "All is well" in text
    assert "Of 96 expected ticks 96 came; missed: 0" in text
    assert f"{demo.report['replay']['events']:,} events read" in text
    assert MARK not in text
    assert not ENCRYPTED.search(text)


def test_tokens_are_in_the_encrypted_columns_and_nowhere_else(demo: Demo) -> None:
    tables = [row[0] for row in demo.ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
    values = [
        str(each) for name in tables for row in demo.ask(f"SELECT * FROM {name}") for each in row
    ]
    sealed = demo.ask(
        "SELECT credentials_encrypted, refresh_token_encrypted FROM platform_connections"
    )

    everywhere = [field for value in values for field in ENCRYPTED.findall(value)]
    in_columns = [field for row in sealed for field in row if ENCRYPTED.fullmatch(field or "")]

    assert MARK.encode() not in demo.file.read_bytes()
    assert MARK not in demo.ended.out
    assert sorted(everywhere) == sorted(in_columns)
    assert len(in_columns) > FEWEST


def test_every_condition_of_the_day_did_come_about(demo: Demo) -> None:
    failures = {(each["platform"], each["class"]) for each in demo.report["failures"]}
    released = {row[0] for row in demo.ask("SELECT data ->> '$.reason' FROM outbox")}
    [(rotated,)] = demo.ask("SELECT sum(data ->> '$.refresh.rotated') FROM outbox")

    assert {("google", "transient"), ("tiktok", "permanent"), ("linkedin", "invalid")} <= failures
    assert any("was lost" in each["message"] for each in demo.report["failures"])
    assert {"throttled", "reconnected", "retry", "never_synced"} <= released
    assert rotated > 1
    assert demo.report["deferred"] > 1


def test_demo_heeds_no_setting_and_no_file_of_the_machine(told: Demo) -> None:
    assert (told.ended.code, told.ended.err) == (0, "")
    assert [file.name for file in told.folder.iterdir()] == ["clearlift.toml"]


def test_what_demo_invites_to_works_as_it_stands(told: Demo) -> None:
    lines = [shlex.split(line) for line in told.ended.out.splitlines() if "--database" in line]

    ended = [run(told.file.parent, {}, *line[1:]) for line in lines]

    assert len(lines) >= 4
    assert {line[0] for line in lines} == {"clearlift-cron"}
    assert [each.code for each in ended] == [0] * len(lines)
    assert all(each.out.count("\n") >= 1 for each in ended)


def test_demo_will_not_overwrite_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "demo.db").write_text("mine")

    ended = run(tmp_path, {}, "demo", "--keep", str(tmp_path))

    assert ended.code == 2
    assert "exists already" in ended.err
    assert (tmp_path / "demo.db").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["demo.db"]


def test_a_demo_that_is_interrupted_can_be_run_there_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process = subprocess.Popen(
        [sys.executable, "-m", "clearlift_adapters.cli", "demo", "--keep", str(kept)],
        stderr=subprocess.DEVNULL,
    )
    while not list(kept.glob("demo.db-*")) and process.poll() is None:
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)

    assert process.wait(60) != 0
    assert list(kept.iterdir()) == []


def test_demo_says_that_it_cannot_write_where_it_should(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = run(tmp_path, {}, "demo", "--keep", "file/under")

    assert (ended.code, ended.out) == (4, "")
    assert "cannot write to file/under: Not a directory; name a directory" in ended.said[0]


def test_jobs_of_the_demo_are_all_accounted_for(demo: Demo) -> None:
    checks = {each["what"]: each["seen"] for each in demo.report["checks"]}

    seen = checks["the consumer got every job, and ended none twice"].partition(";")[0]

    parts = [int(part.split()[0]) for part in seen.split(", ")]
    assert sum(parts) == demo.report["totals"]["delivered"]


@pytest.mark.parametrize("option", ["--database", "--queue", "--config"])
def test_demo_cannot_be_told_to_use_a_database_of_somebodys(tmp_path: Path, option: str) -> None:
    ended = run(tmp_path, {}, option, "sqlite:///mine.db", "demo")

    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


def quickstart(demo: Demo) -> str:
    """Return the commands of docs/quickstart.md after the demo's, for this demo's connection."""
    page = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text(encoding="utf-8")
    _, *blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    script = "".join(blocks)
    [names] = demo.ask(
        "SELECT id, organization_id, account_id FROM platform_connections"
        " WHERE platform = 'linkedin'"
    )
    told = ("org-038-linkedin-7940716459", "org-038", "7940716459")
    for there, here in zip(told, names, strict=True):
        assert there in script
        script = script.replace(there, here)
    return script


def test_a_newcomer_finds_explains_mends_and_serves_a_failed_connection(
    demo: Demo, tmp_path: Path
) -> None:
    (tmp_path / "first-day").mkdir()
    shutil.copy(demo.file, tmp_path / "first-day")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

    done = subprocess.run(
        ["bash", "-c", quickstart(demo)],
        cwd=tmp_path,
        env={"PATH": path, "CLEARLIFT_NOW": demo.report["ends_at"]},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "\nreconnected org-" in done.stdout
    assert done.stdout.rindex("job_enqueued") > done.stdout.rindex("sync_failed")
    assert "0 violations" in done.stdout
    assert (tmp_path / "clearlift-report.html").stat().st_size
