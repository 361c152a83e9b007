"""Cloudflare on this machine: a process of workerd with D1 and Queues behind the paths of the API.

What is real in it: SQL, its types, its limits and its transactions; the queue, and Workers that
consume it. What is ours: paths, tokens, envelopes and errors (rest.js), and faults (front.mjs).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any, Final, TypeVar

import httpx
import msgspec

from tests.workerd.faults import Fault
from tests.workerd.npm import FOLDER

T = TypeVar("T")

_STOP_S: Final = 20


class Stage(msgspec.Struct, frozen=True):
    """What one test has to itself: a database and three queues, by id."""

    account: str
    database: str
    recorded: str  # Every delivery is noted and acknowledged.
    pulled: str  # Messages wait until they are pulled and acknowledged.
    consumed: str  # The example Worker takes them, on the stage's database.

    @property
    def database_url(self) -> str:
        return f"d1://{self.account}/{self.database}"

    @property
    def queue_url(self) -> str:
        """Return the URL of the queue whose deliveries are noted."""
        return f"cloudflare://{self.account}/{self.recorded}"


class Request(msgspec.Struct, frozen=True):
    """A request that arrived, and how it was answered; status 0 is a reset."""

    method: str
    route: str
    resource: str
    status: int


class Delivery(msgspec.Struct, frozen=True):
    """One delivery of one message; a message that comes again has the same id."""

    message_id: str
    attempts: int
    body: str


class Effect(msgspec.Struct, frozen=True):
    """Work that the example Worker has done for a job."""

    job_id: str


class Tokens(msgspec.Struct, frozen=True):
    """API tokens: with every permission, and with one of the two."""

    token: str
    d1_token: str
    queues_token: str


class _Started(Tokens, frozen=True):
    port: int


class Cloudflare:
    """The running process. Its stages are taken in turn, and each is empty when a test gets it."""

    def __init__(self, started: _Started, client: httpx.Client) -> None:
        self.tokens: Tokens = started
        self.base_url = f"http://127.0.0.1:{started.port}/client/v4"
        self._client = client

    def stage(self) -> Stage:
        """Return an empty stage; no fault is left, and no request counted."""
        return self._order("stage", Stage)

    def inject(self, *faults: Fault) -> None:
        """Spoil the requests that come now; earlier faults are forgotten."""
        self._order("faults", list[Fault], faults)

    def requests(self) -> list[Request]:
        """Return the requests since the stage was given, in the order of their answers.

        What somebody has sent and not waited for is waited for here.
        """
        return self._order("requests", list[Request])

    def deliveries(self, queue: str, *, least: int = 0) -> list[Delivery]:
        """Return the deliveries of a queue, when it has delivered all that it accepted.

        What is delivered again makes more; `least` says how many to wait for.
        """
        return self._order("deliveries", list[Delivery], {"queue": queue, "least": least})

    def effects(self, queue: str) -> list[Effect]:
        """Return what the example Worker did, when the queue has delivered all that it accepted."""
        return self._order("effects", list[Effect], {"queue": queue})

    def _order(self, name: str, kind: type[T], details: Any = None) -> T:  # noqa: ANN401  any JSON
        answer = self._client.post(f"/__{name}", content=msgspec.json.encode(details))
        assert answer.status_code == httpx.codes.OK, answer.text
        return msgspec.json.decode(answer.content, type=kind)


@contextmanager
def cloudflare(node: Path) -> Generator[Cloudflare]:
    """Run Cloudflare until the block ends."""
    env = {name: text for name, text in os.environ.items() if name != "NODE_OPTIONS"}
    with Popen([node, FOLDER / "start.mjs"], stdin=PIPE, stdout=PIPE, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "workerd did not start; stderr says why"
            started = msgspec.json.decode(line, type=_Started)
            url = f"http://127.0.0.1:{started.port}"
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                yield Cloudflare(started, client)
        finally:
            process.stdin.close()  # Which ends it.
            try:
                process.wait(_STOP_S)
            except TimeoutExpired:
                process.kill()
                raise
