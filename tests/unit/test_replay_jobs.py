"""replay, where the log and `sync_jobs` disagree, and where they may."""

import msgspec
import pytest

from clearlift_engine.audit import Rule
from clearlift_engine.events import FellDue
from clearlift_engine.jobs import job_row
from clearlift_engine.ports import JobState
from clearlift_engine.replay import replay
from tests.unit import lives
from tests.unit.shelf import (
    ACME,
    BETA,
    GAMMA,
    SUPERSEDING,
    Shelf,
    broken,
    changed,
    created,
    rules,
)

FOREIGN = JobState("their-1", "acme", ACME, "pending", "full", "2026-10-10 12:00:00", "{}")


@pytest.mark.parametrize("column", JobState.__struct_fields__)
@pytest.mark.parametrize(
    ("job_id", "position", "connection_id"), [("job-1", 3, ACME), ("job-3", 7, GAMMA)]
)
async def test_one_edited_column_of_a_job_is_named(
    job_id: str, position: int, connection_id: str, column: str
) -> None:
    shelf = Shelf()
    job = next(row for row in shelf.jobs if row.id == job_id)

    shelf.edit_job(job_id, **{column: changed(getattr(job, column))})

    report = await replay(shelf)
    expected: Rule = "job_status" if column == "status" else "job_row"
    assert (connection_id, position, expected) in broken(report)
    moved: set[Rule] = {"explained_job"} if column in ("id", "connection_id") else set()
    assert rules(report) == {expected} | moved


@pytest.mark.parametrize("column", JobState.__struct_fields__[3:])
async def test_a_column_of_a_job_that_was_emptied_is_named(column: str) -> None:
    shelf = Shelf()

    shelf.edit_job("job-3", **{column: None})

    expected: Rule = "job_status" if column == "status" else "job_row"
    assert broken(await replay(shelf)) == {(GAMMA, 7, expected)}


async def test_a_deleted_job_is_missed_by_the_event_that_created_it() -> None:
    shelf = Shelf()
    shelf.jobs.pop(0)

    assert broken(await replay(shelf)) == {(ACME, 3, "job_row")}


async def test_a_deleted_connection_takes_its_jobs_with_it_and_nothing_is_missed() -> None:
    shelf = Shelf()
    shelf.jobs = [job for job in shelf.jobs if job.connection_id != ACME]
    shelf.deleted = {ACME}

    assert (await replay(shelf)).violations == []


@pytest.mark.parametrize("status", ["pending", "running", "completed", "failed"])
async def test_the_consumer_may_move_a_job_within_the_four_words(status: str) -> None:
    shelf = Shelf()

    shelf.edit_job("job-3", status=status)

    assert (await replay(shelf)).violations == []


@pytest.mark.parametrize("metadata", [None, "", "{}", "[]", "not JSON", '{"created_by":"them"}'])
@pytest.mark.parametrize("status", [None, "pending", "odd"])
async def test_jobs_of_others_are_not_our_business(
    metadata: str | None, status: str | None
) -> None:
    shelf = Shelf()

    shelf.jobs.append(msgspec.structs.replace(FOREIGN, metadata=metadata, status=status))

    assert (await replay(shelf)).violations == []


async def test_a_job_in_our_name_that_no_event_created_is_named() -> None:
    shelf = Shelf()
    row = job_row(lives.message("job-9", BETA), "run-9")

    shelf.jobs.append(JobState(status="completed", **msgspec.structs.asdict(row)))

    report = await replay(shelf)
    assert broken(report) == {(BETA, None, "explained_job")}
    assert "job-9" in report.violations[0].detail


def second_job(superseded_job_id: str | None) -> Shelf:
    """Return a log where GAMMA gets a second job, job-4, while job-3 is still open."""
    shelf = Shelf()
    shelf.edit_job("job-3", status="running")
    due = FellDue(reason="retry", last_synced_at=0, superseded_job_id=superseded_job_id)
    shelf.append(GAMMA, due)
    shelf.append(GAMMA, created("job-4", GAMMA))
    return shelf


async def test_two_open_jobs_are_named_unless_the_older_was_superseded() -> None:
    unsaid, said = await replay(second_job(None)), await replay(second_job("job-3"))

    assert broken(unsaid) == {(GAMMA, 14, "one_open_job")}
    assert unsaid.violations[0].detail == "job-3 was open when job-4 was created, and is still"
    assert said.violations == []


async def test_a_second_job_is_no_violation_once_either_is_done() -> None:
    older, newer = second_job(None), second_job(None)
    older.edit_job("job-3", status="completed")
    newer.edit_job("job-4", status="failed")

    assert (await replay(older)).violations == []
    assert (await replay(newer)).violations == []


async def test_superseding_a_newer_job_of_others_supersedes_ours_before_it() -> None:
    shelf = second_job("their-1")
    shelf.jobs.append(msgspec.structs.replace(FOREIGN, connection_id=GAMMA))

    assert (await replay(shelf)).violations == []


async def test_superseding_a_job_that_was_begun_late_supersedes_also_a_newer_one() -> None:
    shelf = Shelf()
    shelf.append(ACME, lives.ENQUEUED)
    shelf.append(ACME, SUPERSEDING)  # It names job-1 again: that was begun when job-2 was there.
    shelf.append(ACME, created("job-9", ACME))

    assert (await replay(shelf)).violations == []


async def test_a_message_about_another_connection_is_named() -> None:
    shelf = Shelf()
    shelf.append(BETA, lives.DUE_AGAIN)

    shelf.append(BETA, created("job-7", GAMMA))

    assert (BETA, 14, "own_message") in broken(await replay(shelf))


async def test_a_job_whose_message_is_about_another_connection_than_its_row_is_named() -> None:
    shelf = Shelf()
    shelf.append(BETA, lives.DUE_AGAIN)
    shelf.append(BETA, created("job-7", GAMMA))

    shelf.edit_job("job-7", connection_id=BETA)

    report = await replay(shelf)
    assert broken(report) == {(BETA, 14, "own_message"), (BETA, 14, "job_row")}
    assert "connection_id: the log says 'gamma-stripe-3', the row 'beta-tiktok-2'" in {
        found.detail for found in report.violations
    }


async def test_a_job_id_that_is_used_twice_is_named() -> None:
    shelf = Shelf()
    shelf.append(GAMMA, lives.DUE_AGAIN)

    shelf.append(GAMMA, created("job-3", GAMMA))

    assert (GAMMA, 14, "one_job_per_id") in broken(await replay(shelf))
