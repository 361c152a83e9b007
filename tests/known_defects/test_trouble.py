"""Defects 10 and 19: one odd row is one line of the log, and the others are served."""

from typing import TYPE_CHECKING

import pytest

from clearlift_adapters.memory_refresher import INVALID_GRANT
from tests.worker import Worker

if TYPE_CHECKING:
    from sqlite3 import Connection

# Refuses to note a failure, as a CHECK or a trigger of the API worker's might.
_NO_FAILURES = """
CREATE TRIGGER their_own BEFORE UPDATE ON platform_connections
WHEN NEW.sync_status = 'failed' AND NEW.id GLOB 'unmarkable *'
BEGIN SELECT RAISE(ABORT, 'no failure is noted here'); END
"""


@pytest.mark.parametrize("scopes", ["not JSON", "", "{", "a,b", b"\xff\xfe"])
async def test_10_scopes_that_are_no_json_stop_nothing(worker: Worker, scopes: str | bytes) -> None:
    worker.seed.add_connection("odd", scopes=scopes)
    worker.seed.add_connection("plain", scopes='["ads.read"]')

    reports = [(await worker.tick_later()).report for _ in range(2)]

    assert sorted(worker.jobs()) == ["odd", "plain"]
    assert [report.failed for report in reports] == [0, 0]
    assert worker.connection("odd")["scopes"] == scopes


async def test_19_failure_that_cannot_be_recorded_stops_nobody_else(
    worker: Worker, raw: "Connection"
) -> None:
    raw.execute(_NO_FAILURES)
    worker.expiring("unmarkable row", platform="unheard of")
    worker.expiring("unmarkable grant", last_synced_at="2026-01-01 00:00:00")
    worker.refresher.script("unmarkable grant", INVALID_GRANT)
    worker.expiring("refreshed")
    worker.seed.add_connection("plain")

    outcome = await worker.tick()

    assert sorted(worker.jobs()) == ["plain", "refreshed"]
    failed = {failure.connection_id for failure in outcome.report.failures}
    assert failed == {"unmarkable row", "unmarkable grant"}
    assert worker.marked() == []
