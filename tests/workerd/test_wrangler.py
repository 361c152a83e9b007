"""Wrangler's local database and ours are one: the ledger, and what the migrations have made."""

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from clearlift_adapters.migrations import migration_names
from clearlift_adapters.stores.library import sqlite3
from tests.e2e.program import Program
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.npm import install
from tests.workerd.wrangler import EXAMPLE, Wrangler

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"
FOUND = re.findall(
    r"^(?:npx )?wrangler (.*?)(?: *#.*)?$",
    DEPLOY.read_text() + (EXAMPLE / "README.md").read_text(),
    re.MULTILINE,
)
TOLD = [*dict.fromkeys(FOUND)]  # What is told twice is as it was the first time.
LEDGER = "SELECT name FROM d1_migrations ORDER BY id"
DONE = "No migrations to apply!"


@pytest.fixture(scope="module")
def migrated_once(workerd: Cloudflare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have wrangler apply our migrations; return the folder to copy, for that takes seconds."""
    folder = tmp_path_factory.mktemp("migrated")
    Wrangler(install(), folder).migrate()
    return folder


@pytest.fixture
def migrated(wrangler: Wrangler, migrated_once: Path, tmp_path: Path) -> Wrangler:
    """Return a wrangler whose local database has our migrations by wrangler's doing."""
    shutil.copytree(migrated_once, tmp_path, dirs_exist_ok=True)
    return wrangler


def program_on(wrangler: Wrangler, folder: Path) -> Program:
    return Program(folder, CLEARLIFT_DATABASE=f"sqlite:///{wrangler.file}")


def ledger(wrangler: Wrangler) -> list[str]:
    return [row["name"] for row in wrangler.rows(LEDGER)]


def schema_of(file: Path) -> set[tuple[str, str, str]]:
    """Return what there is in a database, without comments and white space."""
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        found = [(kind, name, re.sub(r"--[^\n]*|\s", "", sql)) for kind, name, sql in rows]
    return {each for each in found if not each[1].startswith(("_cf_", "sqlite_", "d1_"))}


async def test_what_wrangler_has_applied_we_do_not_apply_again(
    migrated: Wrangler, tmp_path: Path
) -> None:
    done = await program_on(migrated, tmp_path).done("migrate", "--json")

    assert done.report["applied"] == []
    assert ledger(migrated) == migration_names()


async def test_what_we_have_applied_wrangler_does_not_apply_again(
    wrangler: Wrangler, tmp_path: Path
) -> None:
    assert wrangler.rows("SELECT 1 AS one") == [{"one": 1}]  # Which makes an empty file.

    await program_on(wrangler, tmp_path).done("migrate")

    assert DONE in wrangler.pending()
    assert DONE in wrangler.migrate()
    assert ledger(wrangler) == migration_names()


def test_both_make_the_same_of_our_migrations(migrated: Wrangler, empty_database: Path) -> None:
    by_wrangler = schema_of(migrated.file)

    assert by_wrangler == schema_of(empty_database)


async def test_a_tick_runs_on_the_database_of_wrangler_dev(
    migrated: Wrangler, tmp_path: Path
) -> None:
    program = program_on(migrated, tmp_path)
    with closing(sqlite3.connect(migrated.file, isolation_level=None)) as db:
        db.execute("INSERT INTO organizations (id) VALUES ('org')")
        db.execute(
            "INSERT INTO platform_connections (id, organization_id, platform, account_id,"
            " connected_by) VALUES ('conn', 'org', 'stripe', 'account', 'user')"
        )

    tick = await program.done("tick", "--json")

    assert tick.report["jobs_created"] == 1
    [job] = migrated.rows((await program.done("jobs", "--sql")).out.decode())
    assert (job["connection_id"], job["platform"]) == ("conn", "stripe")
    assert (job["status"], job["created"]) == ("pending", "2026-10-10 12:00:00")


def test_wrangler_would_deploy_the_example(wrangler: Wrangler, tmp_path: Path) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "project")

    said = wrangler.build(project)

    assert "env.DB (clearlift)" in said


@pytest.mark.parametrize("line", TOLD)
def test_command_that_the_readme_tells_exists_with_its_options(
    wrangler: Wrangler, line: str
) -> None:
    words = line.split()
    options = [word for word in words if word.startswith("--")]
    command = [word for word in words if word.islower() and word.isalnum()]

    said = wrangler.help(*command)

    usage = re.search(r"^wrangler ([a-z0-9 -]+?)(?: <| \[|$)", said, re.MULTILINE)
    assert usage is not None
    assert line.startswith(usage[1])
    assert [option for option in options if option not in said] == []
