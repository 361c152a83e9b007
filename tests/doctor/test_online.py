"""`--online`: who answers, and what time it is there; nothing of ours is sent."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from clearlift_adapters.doctor.findings import Severity
from clearlift_adapters.doctor.online import Reply, asked, reachable
from tests.doctor.conftest import Patient
from tests.loopback import Visit, answer, loopback


def ahead(hours: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)


async def reply_of(date: str) -> tuple[Reply, Visit]:
    async with loopback(answer(405, headers={"Date": date})) as server:
        [reply] = await asked({"google": server.url})
        return reply, server.visits[0]


async def test_a_clock_that_is_wrong_is_seen_by_anybodys_date() -> None:
    well, visit = await reply_of(ahead(0))
    late, _ = await reply_of(ahead(1))
    odd, _ = await reply_of("yesterday")

    [endpoint, skew] = reachable([late])
    assert (visit.method, visit.body, visit.form) == ("HEAD", b"", {})
    assert [each.severity for each in reachable([well])] == ["ok", "ok"]
    assert (endpoint.severity, skew.severity) == ("ok", "error")
    assert "60 min behind 127.0.0.1's" in skew.found or "59 min behind" in skew.found
    assert [each.check for each in reachable([odd])] == ["endpoint"]


@pytest.mark.parametrize(
    ("ahead_ms", "severity"),
    [(10_000, "ok"), (-10_001, "warning"), (120_000, "warning"), (-120_001, "error")],
)
def test_a_clock_may_be_off_by_seconds_and_not_by_minutes(
    ahead_ms: int, severity: Severity
) -> None:
    [_, skew] = reachable([Reply("google", "host", None, ahead_ms)])

    assert skew.severity == severity


def test_an_endpoint_that_is_not_there_is_an_error_without_its_url(patient: Patient) -> None:
    patient.online = True
    patient.seed.add_connection("c", platform="google")

    found = patient.findings(GOOGLE_TOKEN_URL="http://127.0.0.1:9/token?secret")

    assert found["endpoint"].severity == "error"
    assert found["endpoint"].found == "127.0.0.1 does not answer (ConnectError)"
    assert "HTTPS_PROXY" in (found["endpoint"].remedy or "")


def test_only_the_platforms_in_use_are_asked(patient: Patient) -> None:
    async def served() -> list[str]:
        async with loopback(answer(405, headers={"Date": ahead(0)})) as server:
            url, other = server.url, server.url.replace("/token", "/other")
            urls = {"GOOGLE_TOKEN_URL": url, "FACEBOOK_TOKEN_URL": other}
            await asyncio.to_thread(patient.findings, **urls)
            return [visit.target for visit in server.visits]

    patient.online = True
    patient.seed.add_connection("c", platform="google")

    assert asyncio.run(served()) == ["/token"]
