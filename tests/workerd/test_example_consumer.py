"""examples/consumer-worker on a real queue and a real D1: one effect for each job."""

import asyncio
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest

from tests.workerd.cloudflare import Cloudflare, Effect, Stage
from tests.workerd.rest import Rest

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "consumer-worker"
SHARED: Final = files("clearlift_schema").joinpath("migrations", "0001_shared_tables.sql")
START, END = "2026-10-03T12:00:00.000Z", "2026-10-10T12:00:00.000Z"
OWN_MINUTES: Final = 15  # For so long a claim is its consumer's.


def message(job_id: str = "job", account_id: str = "account") -> dict[str, Any]:
    return {
        "job_id": job_id,
        "connection_id": "conn",
        "organization_id": "org",
        "platform": "google",
        "account_id": account_id,
        "job_type": "full",
        "sync_window": {"start": START, "end": END},
        "metadata": {"retry_count": 0, "created_at": END, "priority": "high"},
    }


@pytest.fixture(autouse=True)
async def job(rest: Rest) -> None:
    """Leave one pending job, as tick does."""
    await rest.sql(SHARED.read_text())
    await rest.sql(
        """INSERT INTO organizations (id) VALUES ('org');
        INSERT INTO platform_connections (id, organization_id, platform, account_id, connected_by)
        VALUES ('conn', 'org', 'google', 'account', 'user');
        INSERT INTO onboarding_progress (user_id, organization_id, current_step)
        VALUES ('user', 'org', 'first_sync');
        INSERT INTO sync_jobs (id, organization_id, connection_id) VALUES ('job', 'org', 'conn')"""
    )


async def job_row(rest: Rest) -> dict[str, Any]:
    [row] = await rest.sql("SELECT * FROM sync_jobs")
    return row


async def test_a_job_is_done_and_its_connection_and_onboarding_say_so(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await rest.push(stage.consumed, message())

    assert workerd.effects(stage.consumed) == [Effect("job")]
    done = await job_row(rest)
    [connection] = await rest.sql("SELECT * FROM platform_connections")
    [onboarding] = await rest.sql("SELECT * FROM onboarding_progress")
    assert (done["status"], done["records_synced"]) == ("completed", 7)
    assert START < done["started_at"] <= done["completed_at"]
    assert (connection["sync_status"], connection["last_synced_at"]) == ("completed", END)
    assert onboarding["first_sync_completed"] == 1


async def test_a_message_that_comes_again_has_no_second_effect(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await rest.push(stage.consumed, message(), message())
    await rest.push(stage.consumed, message())

    deliveries = workerd.deliveries(stage.consumed)

    assert len({each.message_id for each in deliveries}) == 3
    assert workerd.effects(stage.consumed) == [Effect("job")]


async def test_a_message_without_a_job_has_no_effect(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await rest.push(stage.consumed, message("another job"))

    assert [each.attempts for each in workerd.deliveries(stage.consumed)] == [1]
    assert workerd.effects(stage.consumed) == []
    assert (await job_row(rest))["status"] == "pending"


async def claimed_before(rest: Rest, minutes: int) -> None:
    """Leave the job as a consumer that claimed it so long ago."""
    since = f"strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{minutes} minutes')"
    await rest.sql(f"UPDATE sync_jobs SET status = 'running', started_at = {since}")


async def test_a_job_that_another_consumer_has_is_left_alone(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await claimed_before(rest, OWN_MINUTES - 1)

    await rest.push(stage.consumed, message())

    assert workerd.effects(stage.consumed) == []
    assert (await job_row(rest))["status"] == "running"


async def test_a_job_is_taken_over_when_the_claim_on_it_has_run_out(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await claimed_before(rest, OWN_MINUTES)

    await rest.push(stage.consumed, message())

    assert workerd.effects(stage.consumed) == [Effect("job")]
    assert (await job_row(rest))["status"] == "completed"


async def test_work_that_fails_is_tried_four_times_and_then_the_job_has_failed(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await rest.push(stage.consumed, message(account_id="broken"))

    attempts = [each.attempts for each in workerd.deliveries(stage.consumed, least=4)]
    assert attempts == [1, 2, 3, 4]
    assert workerd.effects(stage.consumed) == [Effect("job")] * 4
    given_up = await job_row(rest)
    assert (given_up["status"], given_up["error_message"]) == ("failed", "the platform says no")
    [connection] = await rest.sql("SELECT * FROM platform_connections")
    assert connection["last_synced_at"] is None


async def test_the_claim_of_the_readme_is_won_once(rest: Rest) -> None:
    found = re.search(r"```sql\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    assert found is not None

    claims = await asyncio.gather(*(rest.sql(found[1], "job", END) for _ in range(10)))

    assert sorted(claims) == [[]] * 9 + [[{"id": "job"}]]
    assert (await job_row(rest))["started_at"] == END


async def test_the_example_names_the_folder_of_our_migrations() -> None:
    found = re.search(r'migrations_dir = "(.*)"', (EXAMPLE / "wrangler.toml").read_text())
    assert found is not None

    assert (EXAMPLE / found[1] / SHARED.name).is_file()
