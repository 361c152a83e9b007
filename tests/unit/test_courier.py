"""The courier: what receivers get, in which order, and what is said of those that refuse."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.telling.courier import Courier
from clearlift_adapters.telling.posts import BODY_BYTES_MAX, Post, of_end, of_start
from clearlift_adapters.telling.receivers import Receivers
from clearlift_engine.errors import ConfigurationError
from tests.loopback import Behaviour, answer, closed_port, loopback, reset, stall

RUN = "01a20d56-1d6c-7322-8060-4aafa51496c6"
PING = Endpoint("https://hc-ping.com/key/tick?create=1", "PING")
SENTRY = Endpoint("https://o1.ingest.sentry.io/api/2/cron/tick/key/", "SENTRY")


def parts(post: Post) -> tuple[str, str, dict[str, list[str]]]:
    url = urlsplit(post.url)
    return post.method, url.path, parse_qs(url.query)


def test_pings_join_a_start_and_an_exit_code_by_the_run() -> None:
    receivers = Receivers(ping=PING)

    [start] = of_start(receivers, RUN)
    [end] = of_end(receivers, RUN, 3, {"due": 7})

    assert parts(start) == ("POST", "/key/tick/start", {"create": ["1"], "rid": [RUN]})
    assert parts(end) == ("POST", "/key/tick/3", {"create": ["1"], "rid": [RUN]})
    assert (start.body, end.body, end.content_type) == (b"", b'{"due":7}', "application/json")


def test_check_ins_bear_one_id() -> None:
    receivers = Receivers(sentry=SENTRY)

    posts = [*of_start(receivers, RUN), *of_end(receivers, RUN, 0, None)]
    [failed] = of_end(receivers, RUN, 5, None)

    path = "/api/2/cron/tick/key/"
    assert [parts(post) for post in (*posts, failed)] == [
        ("GET", path, {"check_in_id": [RUN], "status": [status]})
        for status in ("in_progress", "ok", "error")
    ]


def test_report_that_is_too_long_goes_without_its_failures() -> None:
    report = {"due": 7, "failures": ["x" * 100] * 1_000}

    [end] = of_end(Receivers(ping=PING), RUN, 0, report)

    assert len(end.body) < BODY_BYTES_MAX
    assert msgspec.json.decode(end.body) == {"due": 7, "failures": []}


def test_posts_and_receivers_show_no_url() -> None:
    shown = f"{Receivers(ping=PING)} {of_start(Receivers(ping=PING), RUN)}"

    assert "hc-ping" not in shown
    assert set(Receivers(ping=PING, sentry=SENTRY).secrets) >= {PING.url, SENTRY.url}


async def test_one_receiver_gets_its_posts_in_order_and_another_does_not_wait() -> None:
    async with loopback(answer(200)) as server, loopback(stall) as dead, Courier() as courier:
        stuck = courier.send(Post("b", dead.url))
        sent = [courier.send(Post("a", f"{server.url}/{number}")) for number in range(5)]

        problems = await courier.answers({"a": sent})

        assert [visit.target for visit in server.visits] == [f"/token/{n}" for n in range(5)]
        assert (problems, stuck.done()) == ({}, False)


@pytest.mark.parametrize("behaviour", [reset, answer(404), answer(302, b"", {"Location": "/x"})])
async def test_what_was_not_taken_has_a_reason(behaviour: Behaviour) -> None:
    async with loopback(behaviour) as server, Courier() as courier:
        sent = courier.send(Post("a", server.url))

        problems = await courier.answers({"a": [sent]})

        assert problems["a"] in {"could not be reached", "answered 404", "answered 302"}
        assert len(server.visits) == 1


async def test_nobody_at_the_port_is_said_once() -> None:
    async with Courier() as courier:
        url = f"http://127.0.0.1:{closed_port()}/"
        sent = [courier.send(Post("a", url)) for _ in range(2)]

        assert await courier.answers({"a": sent}) == {"a": "refused the connection"}


async def test_all_waiting_together_has_one_end() -> None:
    async with loopback(stall) as slow, loopback(answer(200)) as quick, Courier(0.05) as courier:
        await courier.answers({"slow": [courier.send(Post("slow", slow.url))]})

        # The time is over: even who would answer at once is not waited for any more.
        late = await courier.answers({"quick": [courier.send(Post("quick", quick.url))]})

        assert late == {"quick": "did not answer in time"}


def test_proxy_that_cannot_be_used_is_a_problem_and_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "no-scheme://user:password@proxy")

    async def send() -> str:
        async with Courier() as courier:
            problems = await courier.answers({"a": [courier.send(Post("a", PING.url))]})
            return problems["a"]

    said = asyncio.run(send())
    assert "names a proxy that cannot be used" in said
    assert "password" not in said


@pytest.mark.parametrize(
    "url", ["http://hooks.example/x", "ftp://x", "https://u:p@hooks.example/x"]
)
def test_receivers_are_https_but_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CLEARLIFT_SLACK_WEBHOOK_URL ") as caught:
        Endpoint(url, "CLEARLIFT_SLACK_WEBHOOK_URL")
    assert url not in str(caught.value)
