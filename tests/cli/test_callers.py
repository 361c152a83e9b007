"""`serve` and `run` under connections that want nothing, and under those that never read."""

import resource
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from tests.cli.program import Program
from tests.cli.serving import PATIENCE_S, Server, server

FILES = 128


@pytest.fixture
def serving(program: Program) -> Iterator[Server]:
    with server(program, "serve") as running:
        yield running


@contextmanager
def connected(running: Server, number: int = 1) -> Generator[list[socket.socket]]:
    """Open connections, and ask for nothing."""
    port = urlsplit(running.url).port
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), PATIENCE_S)))
            for _ in range(number)
        ]


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def closed(connection: socket.socket) -> bool:
    """Return whether the other side ends it, after whatever it had to say."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    return True


def fill(connection: socket.socket) -> None:
    """Ask, and read nothing, until what is between us holds no more."""
    connection.settimeout(0.5)
    with suppress(TimeoutError):
        while True:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


def test_who_does_not_end_a_request_head_is_not_waited_for(serving: Server) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(serving, 3) as [silent, slow, once]:
        slow.sendall(whole[:20])
        once.sendall(whole)
        assert once.recv(65_536).startswith(b"HTTP/1.1 200")
        once.sendall(whole[:20])

        assert all(map(closed, (silent, slow, once)))

    assert serving.end().code == 0


def test_probes_and_pages_are_answered_however_many_are_silent(serving: Server) -> None:
    with connected(serving, 200):
        answers = [serving.get(path).status_code for path in ("/healthz", "/readyz", "/")]
        ended = serving.end()

    assert answers == [200, 200, 200]
    assert (ended.code, ended.err) == (0, "")


def test_run_ticks_on_where_there_are_more_connections_than_files(program: Program) -> None:
    program.before = few_files
    by_the_second = {"CLEARLIFT_CRON": "* * * * * *", "CLEARLIFT_NOW": ""}

    with server(program, "run", **by_the_second) as running, connected(running, FILES + 10):
        seen = len(program.rows("runs"))
        deadline = time.monotonic() + PATIENCE_S
        while len(program.rows("runs")) < seen + 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ready = running.get("/readyz").status_code
        ended = running.end()

    assert ready == 200
    assert (ended.code, ended.err) == (0, "")
    assert {row["outcome"] for row in program.rows("runs")} == {"done"}


def test_who_never_reads_the_answers_does_not_hold_up_the_end(serving: Server) -> None:
    with connected(serving) as [deaf]:
        fill(deaf)
        asked_at = time.monotonic()
        ended = serving.end()

    assert (ended.code, ended.err) == (0, "")
    assert time.monotonic() - asked_at < PATIENCE_S / 2


def test_an_error_that_ends_the_relay_ends_run_whoever_is_connected(program: Program) -> None:
    with server(program, "run") as running, connected(running, 10):
        assert running.get("/healthz").status_code == 200
        program.tamper("ALTER TABLE queue_messages RENAME TO elsewhere")
        program.seed.add_connection("c", platform="stripe")
        assert running.get("/__scheduled?cron=*+*+*+*+*").status_code == 200
        _, err = running.process.communicate(timeout=PATIENCE_S)

    assert running.process.returncode == 4
    assert "Traceback" not in err
