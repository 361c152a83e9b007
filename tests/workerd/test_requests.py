"""How many requests the worker makes: the API allows 1,200 in five minutes, for a whole user."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from tests.e2e.authority import Authority
from tests.e2e.program import CIPHER
from tests.given import NOW_MS
from tests.seed import Value
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.program import CloudProgram
from tests.workerd.tables import D1Tables

ORGANIZATIONS: Final = 20


def connection(number: int, expiring: Sequence[str]) -> dict[str, Value]:
    """Return a row; of ten, one token ends in a minute, of each of these platforms in turn."""
    ends_soon = number % 10 == 0
    return {
        "id": f"c{number:05}",
        "organization_id": f"org-{number % ORGANIZATIONS}",
        "platform": expiring[number // 10 % len(expiring)] if ends_soon else "google",
        "account_id": str(number),
        "connected_by": "user",
        "last_synced_at": iso(NOW_MS - 2 * HOUR_MS),
        "credentials_encrypted": CIPHER.seal(f"at-{number}"),
        "refresh_token_encrypted": CIPHER.seal(f"rt-{number}"),
        "expires_at": iso(NOW_MS + (MINUTE_MS if ends_soon else HOUR_MS)),
    }


def connect(running: Cloudflare, stage: Stage, count: int, *expiring: str) -> None:
    """Add connections, all of them due, a tenth of them to be refreshed first."""
    organizations = [{"id": f"org-{number}"} for number in range(ORGANIZATIONS)]
    with D1Tables(running, stage) as tables:
        tables.insert_many("organizations", organizations)
        rows = [connection(number, expiring) for number in range(count)]
        tables.insert_many("platform_connections", rows)


@pytest.mark.parametrize(
    ("expiring", "most"), [(("google",), 20), (("google", "facebook", "tiktok"), 12)], ids=str
)
async def test_tick_over_500_connections_with_a_tenth_to_refresh_takes_at_most_20_requests(
    workerd: Cloudflare, tmp_path: Path, expiring: Sequence[str], most: int
) -> None:
    authority = Authority()
    async with authority.serving():
        program = CloudProgram(tmp_path, workerd, **authority.environment)
        await program.done("migrate")
        connect(workerd, program.stage, 500, *expiring)
        before = len(workerd.requests())

        done = await program.done("tick", "--json")

    report, requests = done.report, workerd.requests()[before:]
    assert (report["jobs_created"], report["refreshed"]) == (500, 50)
    assert len(requests) <= most
