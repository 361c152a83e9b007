"""The `sync_jobs` row of a message, to the byte."""

import msgspec
import pytest

from clearlift_engine.jobs import is_ours, job_row
from clearlift_engine.ports import JobRow
from tests.unit import lives


def test_the_row_holds_what_the_message_holds() -> None:
    row = job_row(lives.message(), "run-1")

    assert row == JobRow(
        id="job-1",
        organization_id="acme",
        connection_id="acme-google-1",
        job_type="full",
        created_at="2026-10-10T12:00:00.000Z",
        metadata=(
            '{"platform":"google","account_id":"1","sync_window":{"type":"full",'
            '"start":"2026-10-03T12:00:00.000Z","end":"2026-10-10T12:00:00.000Z"},'
            '"created_by":"cron-worker","run_id":"run-1"}'
        ),
    )


def test_odd_text_is_plain_json_in_the_metadata() -> None:
    message = msgspec.structs.replace(lives.message(), account_id='日本 "%"\n')

    row = job_row(message, "run-1")

    assert msgspec.json.decode(row.metadata)["account_id"] == '日本 "%"\n'


def test_a_row_that_we_made_is_ours() -> None:
    assert is_ours(job_row(lives.message(), "run-1").metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "{}",
        "[]",
        "null",
        "not JSON",
        '{"created_by":"api-worker"}',
        '{"created_by":null}',
        '{"created_by":["cron-worker"]}',
        '{"created_by":"cron-worker"',
        '{"x":' + "[" * 100_000,
        "\ud800",
    ],
    ids=lambda text: str(text)[:30].encode("ascii", "backslashreplace").decode(),
)
def test_a_row_that_says_anything_else_is_not_ours(metadata: str | None) -> None:
    assert not is_ours(metadata)
