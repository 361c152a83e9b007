"""A tick and its receivers: Healthchecks, Sentry and Slack, as a process tells them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from tests.cli.program import KEY, Ended, Program
from tests.loopback import Loopback, Visit, answer, closed_port, loopback, stall

Told = tuple[str, str, Mapping[str, Sequence[str]]]


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback(answer(200, b"OK")) as running:
        yield running


def urls(server: str) -> dict[str, str]:
    return {
        "CLEARLIFT_PING_URL": f"{server}/ping",
        "CLEARLIFT_SENTRY_CRON_URL": f"{server}/api/1/cron/tick/public-key/",
        "CLEARLIFT_SLACK_WEBHOOK_URL": f"{server}/services/T0/B0/a-secret-word",
    }


def root(server: Loopback) -> str:
    return server.url.removesuffix("/token")


async def tick(program: Program, receivers: Mapping[str, str], **more: str) -> Ended:
    settings = {**receivers, **more}
    return await asyncio.to_thread(program.run, "tick", "--json", **settings)


def at(server: Loopback, path: str) -> list[Visit]:
    return [visit for visit in server.visits if visit.target.startswith(path)]


def texts(server: Loopback) -> list[str]:
    return [msgspec.json.decode(visit.body)["text"] for visit in at(server, "/services")]


async def test_receivers_hear_of_beginning_end_and_report(
    program: Program, server: Loopback
) -> None:
    program.seed.add_connection("c", platform="stripe")

    ended = await tick(program, urls(root(server)))

    run = [ended.json["run_id"]]
    pings = [urlsplit(visit.target) for visit in at(server, "/ping")]
    checks = [parse_qs(urlsplit(visit.target).query) for visit in at(server, "/api/1/cron")]
    assert [(ping.path, parse_qs(ping.query)) for ping in pings] == [
        ("/ping/start", {"rid": run}),
        ("/ping/0", {"rid": run}),
    ]
    assert msgspec.json.decode(at(server, "/ping/0")[0].body) == ended.json
    assert checks == [
        {"check_in_id": run, "status": ["in_progress"]},
        {"check_in_id": run, "status": ["ok"]},
    ]
    assert (ended.code, texts(server)) == (0, [])
    assert ended.said == ["CLEARLIFT_NOW is set: this is not the time of day"]


async def test_slack_hears_of_an_alert_and_a_dead_grant_once(
    program: Program, server: Loopback
) -> None:
    # A platform whose tokens are refreshed, and a connection that has none to refresh with.
    program.seed.add_connection("c", refresh_token_encrypted=None, expires_at="2026-10-10 11:00:00")
    clients = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret", "ENCRYPTION_KEY": KEY}
    receivers = {**urls(root(server)), **clients}

    first = await tick(program, receivers)
    again = await tick(program, receivers)
    later = await tick(program, receivers, CLEARLIFT_NOW="2026-10-10T13:30:00Z")

    assert (first.code, again.code, later.code) == (3, 0, 0)
    begun, ended = texts(server)
    assert "*error_rate*: 100.0% of the connections that were due" in begun
    assert "google has ended a grant" in begun
    assert "*error_rate* has ended" in ended
    assert [visit.target[:7] for visit in at(server, "/ping/3")] == ["/ping/3"]


async def test_tick_that_cannot_begin_is_told_of_too(program: Program, server: Loopback) -> None:
    ended = await tick(program, urls(root(server)), CLEARLIFT_DATABASE="sqlite:///no.db")

    [end] = at(server, "/ping/4")
    report = msgspec.json.decode(end.body, type=dict[str, Any])
    assert ended.code == 4
    assert report["error"] == "ConfigurationError"
    assert at(server, "/api/1/cron")[1].target.endswith("status=error")


async def test_receivers_that_are_away_are_a_line_each_without_their_urls(
    program: Program,
) -> None:
    away = urls(f"http://127.0.0.1:{closed_port()}")
    program.seed.add_connection("odd", platform="pinterest", expires_at="2026-10-10T11:00:00Z")

    ended = await tick(program, away)

    lines = [msgspec.json.decode(line) for line in ended.err.splitlines()]
    not_told = [line for line in lines if line["event"] == "a receiver was not told"]
    assert (ended.code, ended.json["failed"]) == (3, 1)
    assert {line["receiver"]: line["why"] for line in not_told} == dict.fromkeys(
        away, "refused the connection"
    )
    assert not any(part in ended.err for part in ("127.0.0.1", "a-secret-word", "public-key"))
    assert program.rows("notices") == []


async def test_receivers_that_never_answer_do_not_keep_a_tick(program: Program) -> None:
    much_later = "2026-10-10T13:30:00Z"  # The job that nobody relays is an alert by then.
    program.seed.add_connection("c", platform="stripe")
    async with loopback(stall) as silent:
        await tick(program, {})

        ended = await tick(program, urls(root(silent)), CLEARLIFT_NOW=much_later)

    lines = [msgspec.json.decode(line) for line in ended.err.splitlines()]
    reasons = {line["receiver"]: line["why"] for line in lines if "receiver" in line}
    assert (ended.code, ended.json["due"]) == (0, 0)
    assert reasons == dict.fromkeys(urls(""), "did not answer in time")


async def test_nothing_is_loaded_when_nobody_is_to_be_told(program: Program) -> None:
    ended = await tick(program, {}, PYTHONPROFILEIMPORTTIME="1")

    assert "clearlift_adapters.cli.telling" in ended.err
    assert "httpx" not in ended.err
    assert "clearlift_adapters.telling.courier" not in ended.err
