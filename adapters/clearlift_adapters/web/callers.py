"""Who is connected: nobody for ever without asking, and never so many that descriptors run out.

uvicorn waits without end for the first request, for the rest of one, and for whoever does not read
an answer; and beyond its limit it refuses whoever comes, a probe too. Here a connection has some
seconds for each of these, and where there are too many, one that asks for nothing makes room.
"""

import asyncio
import resource
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_WITHIN_S: Final = 10.0  # From the connection, or the last answer, to a whole request head.
READ_WITHIN_S: Final = 30.0  # What a full buffer of an answer waits for.
END_WITHIN_S: Final = 5.0  # After SIGTERM, for what is answered to be read.
CONNECTIONS_MAX: Final = 64
_SHARE: Final = 8  # Of the descriptors of this process, one in so many is for connections.
_SAID_AGAIN_S: Final = 60.0
_ACCEPT_FAILED: Final = "socket.accept() out of system resource"


class Room(NamedTuple):
    """How many connections there may be, and how many are accepted in one go."""

    connections: int
    backlog: int


def room() -> Room:
    """Return how much room there is, by this process's limit of descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = CONNECTIONS_MAX if limit == resource.RLIM_INFINITY else limit // _SHARE
    connections = max(4, min(CONNECTIONS_MAX, most))
    return Room(connections, connections // 2)


class Caller(H11Protocol):
    """A connection that is waited for no longer than it takes; see above."""

    request: "_Patience"
    reader: "_Patience"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        super().connection_made(transport)
        loop: asyncio.AbstractEventLoop = self.loop
        self.request = _Patience(loop, HEAD_WITHIN_S, transport.abort)
        self.reader = _Patience(loop, READ_WITHIN_S, transport.abort)
        self._wait()
        if len(self.connections) > room().connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.request.end()
        self.reader.end()

    def handle_events(self) -> None:
        super().handle_events()
        self._wait()

    def on_response_complete(self) -> None:
        self.request.end()
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.reader.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.reader.end()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(END_WITHIN_S, self._cut_off)

    def _idle(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request.
        return cycle is None or cycle.response_complete

    def _wait(self) -> None:
        """Wait for a request from now on, if none is being answered."""
        if self._idle():
            self.request.begin()
        else:
            self.request.end()

    def _cut_off(self) -> None:
        """End it, unless an answer to it is still being made."""
        if self._idle() or self.reader.until is not None:
            self.transport.abort()

    def _make_room(self) -> None:
        """End the connection that has asked for nothing for longest, this one if all others do."""
        callers = cast("Collection[Caller]", self.connections)
        waiting = {each: until for each in callers if (until := each.request.until) is not None}
        longest = min(waiting, key=waiting.__getitem__, default=self)
        self.connections.discard(longest)  # It is counted no more.
        longest.transport.abort()


class _Patience:
    """Some seconds from a beginning, unless they are ended before."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, then: Callable[[], object]
    ) -> None:
        self._loop, self._seconds, self._then = loop, seconds, then
        self._timer: asyncio.TimerHandle | None = None

    @property
    def until(self) -> float | None:
        """Return when they are over, None if they have not begun."""
        return None if self._timer is None else self._timer.when()

    def begin(self) -> None:
        """Begin, if they have not begun."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._then)

    def end(self) -> None:
        """End them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@contextmanager
def accept_errors_told(tell: Callable[[str], object]) -> Generator[None]:
    """Tell once a minute that no connection can be accepted, instead of once each time."""
    loop = asyncio.get_running_loop()
    again_at = 0.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal again_at
        if context.get("message") != _ACCEPT_FAILED:
            loop.default_exception_handler(context)
        elif loop.time() >= again_at:
            again_at = loop.time() + _SAID_AGAIN_S
            tell(str(context.get("exception", "")))

    before = loop.get_exception_handler()
    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
