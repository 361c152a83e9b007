"""The demo's checks can fail: each finds what it is there to find; nothing is known in advance."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from clearlift_adapters.cli.demo import exit_code
from clearlift_adapters.demo.day import Hour, Ledger, live
from clearlift_adapters.demo.provider import MARK, Ending, Visit
from clearlift_adapters.demo.story import CAST, FEWEST, HOURS, INCIDENTS, sizes
from clearlift_adapters.demo.summary import DemoReport, summarise
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import HOUR_MS


class Day(NamedTuple):
    """A day that is over: its file, what was seen of it, and what a watcher was told."""

    file: Path
    ledger: Ledger
    hours: list[Hour]


def unheard(level: str, event: str, **fields: object) -> None:
    """Take what the engine says."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    file = tmp_path_factory.mktemp("day") / "demo.db"
    hours: list[Hour] = []
    ledger = asyncio.run(live(file, FEWEST, note=unheard, on_hour=hours.append))
    return Day(file, ledger, hours)


Tamper = Callable[..., DemoReport]


@pytest.fixture
def tampered(day: Day, tmp_path: Path) -> Tamper:
    """Return the report over a copy of the day's file that a statement was let loose on."""

    def tamper(*statements: str, ledger: Ledger = day.ledger) -> DemoReport:
        file = tmp_path / "demo.db"
        shutil.copy(day.file, file)
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)
        return asyncio.run(summarise(file, ledger)).report

    return tamper


def broken(report: DemoReport) -> list[str]:
    """Return the checks that do not hold, by their first words."""
    return [" ".join(check.what.split()[:3]) for check in report.checks if not check.ok]


def test_all_hold_after_a_day_that_nobody_tampered_with(tampered: Tamper) -> None:
    report = tampered()

    assert broken(report) == []
    assert report.replay.violations == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "DELETE FROM sync_jobs WHERE id = (SELECT min(job_id) FROM outbox)",
            ["every job has", "the consumer got", "replay: the log"],
        ),
        ("DELETE FROM queue_messages", ["the consumer got"]),
        ("UPDATE sync_jobs SET status = 'completed'", ["the consumer got"]),
        (
            "UPDATE platform_connections SET last_synced_at = '2020-01-01' WHERE id LIKE '%3'",
            ["everybody who can"],
        ),
        (
            f"UPDATE platform_connections SET sync_error = '{MARK}' WHERE id LIKE '%3'",
            ["no token is"],
        ),
        ("UPDATE connection_state SET failures = 7 WHERE failures = 0", ["replay: the log"]),
    ],
)
def test_what_is_wrong_in_the_file_is_found(
    tampered: Tamper, statement: str, found: list[str]
) -> None:
    assert broken(tampered(statement)) == found


@pytest.mark.parametrize(
    ("ending", "times", "found"),
    [
        ("granted", 11, ["no provider was"]),
        ("dead", 2, ["a dead grant"]),
        ("spent", 1, ["a rotated token"]),
        ("down", 2, ["a provider in"]),
    ],
)
def test_what_the_providers_saw_is_believed(
    day: Day, tampered: Tamper, ending: Ending, times: int, found: list[str]
) -> None:
    # They come after all others, in a second and a tick of their own.
    at_ms = day.ledger.ends_at + HOUR_MS
    extra = [Visit(at_ms, "google", ending, 0)] * times
    before = day.ledger.providers.visits
    day.ledger.providers.visits = [*before, *extra]

    report = tampered()
    day.ledger.providers.visits = before

    assert broken(report) == found


def test_exit_code_says_whether_it_is_the_log_that_is_wrong(tampered: Tamper) -> None:
    assert exit_code(tampered()) == 0
    assert exit_code(tampered("DELETE FROM queue_messages")) == 1
    assert exit_code(tampered("UPDATE connection_state SET version = version + 1")) == 6


def test_connection_that_once_had_two_open_jobs_is_named(day: Day, tampered: Tamper) -> None:
    report = tampered(ledger=replace(day.ledger, open_twice=["somebody"]))

    assert broken(report) == ["no connection ever"]
    assert "somebody" in report.checks[0].seen


def test_watcher_hears_of_every_hour_and_of_every_incident(day: Day, tampered: Tamper) -> None:
    report = tampered()

    told = [says for hour in day.hours for says in hour.incidents]

    assert len(day.hours) == HOURS
    assert told == [incident.says for incident in INCIDENTS]
    # The tick that ends the day belongs to no hour of it.
    assert 0 <= report.totals.jobs - sum(hour.jobs for hour in day.hours) < FEWEST


@pytest.mark.parametrize("connections", [FEWEST, FEWEST + 1, 300, 4_999])
def test_cast_adds_up_to_the_number_that_was_asked_for(connections: int) -> None:
    counts = sizes(connections)

    assert sum(counts) == connections
    assert min(counts) >= 1
    assert [count for part, count in zip(CAST, counts, strict=True) if not part.share] == [
        part.count for part in CAST if not part.share
    ]
