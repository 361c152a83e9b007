"""Carries posts to receivers, each of which has a thread of its own and gets its posts in order.

Threads, because of what a loop cannot let go of: it looks names up in a pool of threads that it
waits for when it ends, so that a name server which does not answer would hold the process for half
a minute. These threads are daemons, and nobody waits for them longer than the courier was told to.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Final, NamedTuple, Self

import httpx

from clearlift_adapters.http_client import open_blocking_client
from clearlift_adapters.oauth.exchange import obstacle
from clearlift_adapters.telling.posts import Post
from clearlift_engine.errors import ConfigurationError

WITHIN_S: Final = 5.0  # All that receivers may cost a run, however many and however slow they are.
TOO_LATE: Final = "did not answer in time"


class _Errand(NamedTuple):
    post: Post
    outcome: "asyncio.Future[str | None]"


class Courier:
    """Sends what it is given at once, and waits for answers only when asked to."""

    def __init__(self, within_s: float = WITHIN_S) -> None:
        self.within_s = within_s
        self._lines: dict[str, SimpleQueue[_Errand | None]] = {}
        self._until: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for line in self._lines.values():
            line.put(None)

    def send(self, post: Post) -> "asyncio.Future[str | None]":
        """Send `post` after those that its receiver has not got yet.

        The result is None when it was taken, else why it was not; see `answers`.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(post.receiver)
        if line is None:
            line = self._lines[post.receiver] = SimpleQueue()
            timeout = httpx.Timeout(self.within_s)
            Thread(target=_carry, args=(line, loop, timeout), daemon=True).start()
        outcome: asyncio.Future[str | None] = loop.create_future()
        line.put(_Errand(post, outcome))
        return outcome

    async def answers(
        self, sent: Mapping[str, Iterable["asyncio.Future[str | None]"]]
    ) -> Mapping[str, str]:
        """Return which receivers did not take something, and why.

        Time runs from the first call on: all calls together wait for `within_s` at the most.
        """
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self.within_s
        outcomes = [outcome for each in sent.values() for outcome in each]
        if outcomes:
            await asyncio.wait(outcomes, timeout=max(self._until - now, 0))
        problems: dict[str, str] = {}
        for receiver, each in sent.items():
            for outcome in each:
                problem = outcome.result() if outcome.done() else TOO_LATE
                if problem is not None:
                    problems.setdefault(receiver, problem)
        return problems


def _carry(
    line: "SimpleQueue[_Errand | None]", loop: asyncio.AbstractEventLoop, timeout: httpx.Timeout
) -> None:
    """Deliver what comes, until None does."""
    with ExitStack() as stack:
        client: httpx.Client | str
        try:
            client = stack.enter_context(open_blocking_client(timeout))
        except ConfigurationError as exc:
            client = str(exc)
        while (errand := line.get()) is not None:
            problem = client if isinstance(client, str) else _delivered(errand.post, client)
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(_settle, errand.outcome, problem)


def _settle(outcome: "asyncio.Future[str | None]", problem: str | None) -> None:
    if not outcome.done():
        outcome.set_result(problem)


def _delivered(post: Post, client: httpx.Client) -> str | None:
    """Send one post; return None if it was taken, else why not, without its URL."""
    headers = {} if post.content_type is None else {"Content-Type": post.content_type}
    try:
        with client.stream(post.method, post.url, content=post.body, headers=headers) as response:
            return None if response.is_success else f"answered {response.status_code}"
    except httpx.TimeoutException:
        return TOO_LATE
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError) as exc:
        return obstacle(exc)
