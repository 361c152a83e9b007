"""`clearlift-cron serve` and `run`, as processes that are asked over HTTP."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.cli.program import Program
from tests.cli.serving import PATIENCE_S, Server, server

TOKEN = "geheim-und-lang-genug"
ODD = "o'hara/<script>\n%2F?#"


@pytest.fixture
def serving(program: Program) -> Iterator[Server]:
    program.seed.add_connection(ODD, platform="stripe", account_name="<script>alert(1)</script>")
    with server(program, "serve") as running:
        yield running


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_tick_is_run_and_the_pages_show_it(serving: Server, program: Program) -> None:
    assert "No tick in the last day" in serving.get("/").text

    report = serving.get("/__scheduled?cron=*+*+*+*+*").json()
    time.sleep(2.1)  # A look is remembered for two seconds.
    page, status = serving.get("/").text, serving.get("/status.json").json()

    assert (report["due"], report["jobs_created"], report["failed"]) == (1, 1, 0)
    assert "All is well" in page
    assert "<script" not in page
    assert (status["last_tick_outcome"], status["waiting_for_relay"]) == ("done", 1)
    assert [row["command"] for row in program.rows("runs")] == ["tick"]
    assert [row["id"] for row in program.rows("runs")] == [report["run_id"]]


def test_a_tick_that_is_misconfigured_says_why_beside_its_report(
    serving: Server, program: Program
) -> None:
    program.seed.add_connection("google", platform="google", expires_at="2026-10-10 11:00:00")

    answer = serving.get("/__scheduled?cron=*+*+*+*+*")

    said = answer.json()
    assert answer.status_code == 500
    assert "ENCRYPTION_KEY" in said["error"]
    assert said["report"]["due"] == 2


def test_no_two_ticks_of_one_process_overlap(serving: Server, program: Program) -> None:
    tick = "/__scheduled?cron=*+*+*+*+*"
    program.tamper("BEGIN IMMEDIATE")  # Whoever wants to write waits.
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(serving.get, tick) for _ in range(2)]
        until(lambda: any(each.done() for each in asked))
        program.tamper("COMMIT")
        answers = [each.result() for each in asked]

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [row["command"] for row in program.rows("runs")] == ["tick"]


def test_a_connection_has_a_page_and_its_twin_whatever_its_id(serving: Server) -> None:
    path = f"/connections/{quote(ODD, safe='')}"
    serving.get("/__scheduled?cron=*+*+*+*+*")

    page, twin = serving.get(path), serving.get(f"{path}.json").json()

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "its job waits for the relay" in page.text
    assert "<script" not in page.text
    assert twin["connection"]["id"] == ODD
    assert [line["transition"] for line in twin["timeline"]] == ["fell_due", "job_created"]
    assert serving.get("/connections/nobody").status_code == 404
    assert serving.get("/connections/nobody.json").json() == {
        "error": "there is no such connection"
    }


def test_an_id_may_end_as_a_twin_does(serving: Server, program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    program.seed.add_connection("d.json", platform="stripe")

    page, twin = serving.get("/connections/d.json"), serving.get("/connections/d.json.json").json()

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/connections/d.json.json"' in page.text
    assert twin["connection"]["id"] == "d.json"
    assert serving.get("/connections/c.json").json()["connection"]["id"] == "c"


def test_a_tick_needs_no_cron_and_is_not_run_for_another_page(serving: Server) -> None:
    assert serving.get("/__scheduled", Referer="https://evil.example/").status_code == 403
    assert serving.get("/__scheduled?cron=").status_code == 400
    assert serving.get("/__scheduled").status_code == 200


@pytest.mark.parametrize(
    "token", ["short", "long-enough-but\nin-two-lines", "überaus-geheim-und-lang"]
)
def test_a_token_that_lets_nobody_in_is_refused_and_found(program: Program, token: str) -> None:
    refused = program.run("serve", "--port", "0", CLEARLIFT_SERVE_TOKEN=token)
    doctor = program.run("doctor", "--json", CLEARLIFT_SERVE_TOKEN=token)

    [found] = [each for each in doctor.json["findings"] if each["check"] == "serve_token"]
    assert (refused.code, doctor.code) == (4, 7)
    assert refused.said[0] == f"{found['found']}; make one by openssl rand -hex 32"
    assert (found["severity"], found["remedy"]) == ("error", "openssl rand -hex 32")
    assert token not in refused.err + doctor.out


def test_probes_and_metrics_answer(serving: Server, program: Program) -> None:
    assert serving.get("/healthz").text == "alive\n"
    assert serving.get("/readyz").text == "ready\n"
    assert "\nclearlift_" in serving.get("/metrics").text
    assert serving.get("/nothing").status_code == 404
    assert serving.client.delete("/").status_code == 405
    assert serving.client.head("/__scheduled").status_code == 405

    program.tamper("DELETE FROM d1_migrations WHERE name LIKE '0009%'")

    assert (serving.get("/readyz").status_code, serving.get("/healthz").status_code) == (503, 200)


def test_every_answer_has_its_headers_and_no_cookie(serving: Server) -> None:
    for path in ("/", "/status.json", "/nothing", "/healthz"):
        headers = serving.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; style-src 'sha256-"
        )
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert not {"set-cookie", "server"} & set(headers)


def test_strangers_get_nothing(serving: Server, program: Program) -> None:
    assert serving.get("/", Host="evil.example").status_code == 421
    assert serving.get("/__scheduled?cron=*+*+*+*+*", Host="evil.example").status_code == 421
    assert serving.get("/__scheduled", Sec_Fetch_Site="cross-site").status_code == 403
    assert serving.get("/__scheduled?cron=often").status_code == 400
    assert program.rows("runs") == []


def test_a_server_ends_cleanly_and_has_said_nothing(serving: Server) -> None:
    serving.get("/")

    ended = serving.end()

    assert (ended.code, ended.err) == (0, "")


def test_bound_elsewhere_it_needs_a_token_and_shows_it_nowhere(program: Program) -> None:
    refused = program.run("serve", "--host", "0.0.0.0", "--port", "0")
    short = program.run("serve", "--port", "0", CLEARLIFT_SERVE_TOKEN="short")
    (program.folder / "token").write_text(f"{TOKEN}\n")
    (program.folder / "token").chmod(0o600)
    with server(program, "serve", "--host", "0.0.0.0", CLEARLIFT_SERVE_TOKEN_FILE="token") as open_:
        anonymous = open_.get("/")
        welcome = open_.get("/", Authorization=f"Bearer {TOKEN}")
        tick = open_.get("/__scheduled", Authorization=f"Bearer {TOKEN}")
        ended = open_.end()

    assert (refused.code, short.code) == (4, 4)
    assert "set CLEARLIFT_SERVE_TOKEN" in refused.said[0]
    assert (anonymous.status_code, welcome.status_code, tick.status_code) == (401, 200, 403)
    assert anonymous.headers["www-authenticate"].startswith("Basic")
    assert TOKEN not in anonymous.text + welcome.text + ended.out + ended.err


def test_a_port_that_is_taken_and_a_database_that_is_not_there_are_told(program: Program) -> None:
    with server(program, "serve") as first:
        port = first.url.rstrip("/").rpartition(":")[2]
        taken = program.run("serve", "--port", port)
    (program.folder / "clearlift.db").unlink()
    absent = program.run("serve", "--port", "0")

    assert (taken.code, absent.code) == (4, 4)
    assert absent.out == ""
    assert "choose others with --host and --port" in taken.said[0]


def test_without_the_extra_the_way_to_it_is_told(program: Program) -> None:
    blocked = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from clearlift_adapters.cli.commands import run; sys.exit(run(['serve']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", blocked],
        cwd=program.folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 4
    assert "pip install 'clearlift-cron-worker[web]'" in done.stderr


def test_run_ticks_delivers_and_serves_until_it_is_asked_to_end(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    by_the_second = {"CLEARLIFT_CRON": "* * * * * *", "CLEARLIFT_NOW": ""}

    with server(program, "run", **by_the_second) as running:
        until(lambda: bool(program.rows("queue_messages")))
        until(lambda: [row["command"] for row in program.rows("runs")].count("tick") > 1)
        page = running.get("/")
        ended = running.end()

    runs = {row["command"]: row["outcome"] for row in program.rows("runs")}
    assert page.status_code == 200
    assert ended.code == 0
    assert runs == {"tick": "done", "relay": "done"}
    assert [row["target"] for row in program.rows("outbox")] == ["due", "job_created", "enqueued"]


def test_a_tick_that_fails_does_not_end_run(program: Program) -> None:
    by_the_second = {"CLEARLIFT_CRON": "* * * * * *", "CLEARLIFT_NOW": ""}

    with server(program, "run", **by_the_second) as running:
        until(lambda: bool(program.rows("runs")))
        program.tamper("ALTER TABLE provider_gates RENAME TO elsewhere")
        program.seed.add_connection(
            "c", platform="pinterest", expires_at="2026-10-10T11:00:00Z", account_name="x"
        )
        until(lambda: any(row["outcome"] not in ("done", None) for row in program.rows("runs")))
        alive = running.get("/healthz")
        ended = running.end()

    assert alive.status_code == 200
    assert ended.code == 0
    assert "a tick did not end well" in ended.said
