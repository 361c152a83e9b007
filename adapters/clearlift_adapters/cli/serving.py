"""`serve`: the report live, for people and for programs; and `run`, which also does the work.

Each tick and each look opens the database anew, as a command does, so the process outlives a
database that was away or was replaced.
"""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits, output, stopping
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.relay import relayed
from clearlift_adapters.cli.schedule import next_after
from clearlift_adapters.cli.stopping import Stop, stop_on_signal
from clearlift_adapters.cli.views import LiveViews, Ticker
from clearlift_adapters.cli.world import clock_of, open_world
from clearlift_adapters.web.door import MAKE_ONE, Door, is_loopback, token_problem
from clearlift_engine.errors import ConfigurationError, UnavailableError
from clearlift_engine.relay import BATCH

HOST: Final = "127.0.0.1"
PORT: Final = 8787
RELAY_INTERVAL_S: Final = 1.0
LONGEST_NAP_S: Final = 15.0  # While a tick is awaited: the clock may be set meanwhile.
GRACE_S: Final = 30  # For a tick that was asked for; who does not read an answer has less.

_NO_WEB: Final = (
    "serving needs two more packages: python3 -m pip install 'clearlift-cron-worker[web]'"
)
_NOT_ACCEPTED: Final = "connections are not accepted: raise the limit of files (ulimit -n 1024)"
_OPEN_TO_ALL: Final = (
    "whoever can reach this address could read customers' names: set CLEARLIFT_SERVE_TOKEN, or "
    "CLEARLIFT_SERVE_TOKEN_FILE, to a token (openssl rand -hex 32), or bind it to 127.0.0.1"
)


class AddressView(msgspec.Struct, frozen=True):
    """What `serve --json` and `run --json` print when they listen."""

    url: str


_BINDING: Final = (
    click.option(
        "--host", default=HOST, show_default=True, metavar="HOST", help="Where to listen."
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=PORT,
        show_default=True,
        metavar="PORT",
        help="0: any that is free.",
    ),
)


@click.command("serve", cls=Command, short_help="Show the report live, and metrics.")
@_BINDING[0]
@_BINDING[1]
@click.pass_obj
def serve(flags: Flags, *, host: str, port: int) -> None:
    """Serve the report live, until SIGTERM; it needs the extra `web`.

    \b
    /                      the report, which reloads itself
    /connections/ID        one connection's life; with .json for programs
    /status.json, /metrics, /healthz, /readyz
    /__scheduled           runs a tick, from this machine only

    Bound to anything but loopback it needs CLEARLIFT_SERVE_TOKEN, and so does whoever asks.
    """
    with bound(flags, host, port) as listener:
        stopping.run(_serve(flags, listener, host))


async def _serve(flags: Flags, listener: socket.socket, host: str) -> None:
    await _expect_database(flags)
    door = Door(host, _token(flags))
    announce(flags, listener, host)
    with stop_on_signal() as stop:
        await served(flags, Ticker(flags, stop), listener, door, stop)


@click.command("run", cls=Command, short_help="Tick, relay and serve in one process.")
@_BINDING[0]
@_BINDING[1]
@click.pass_obj
def run(flags: Flags, *, host: str, port: int) -> None:
    """Tick as CLEARLIFT_CRON says, deliver all the time, and serve, until SIGTERM.

    For small installations: one process instead of cron, a relay and a server. A tick that fails is
    a line in the log, and the next one comes at its time. It needs the extra `web`.
    """
    next_after(flags.settings.cron, 0)
    with bound(flags, host, port) as listener:
        stopping.run(_run(flags, listener, host))


async def _run(flags: Flags, listener: socket.socket, host: str) -> None:
    await _expect_database(flags)
    door = Door(host, _token(flags))
    announce(flags, listener, host)
    with stop_on_signal() as stop:
        ticker = Ticker(flags, stop)
        async with asyncio.TaskGroup() as together:
            together.create_task(served(flags, ticker, listener, door, stop))
            together.create_task(ticks(flags, ticker, stop))
            together.create_task(
                relayed(
                    flags,
                    once=False,
                    interval_s=RELAY_INTERVAL_S,
                    batch=BATCH,
                    stopping=lambda: nullcontext(stop),
                )
            )


async def ticks(flags: Flags, ticker: Ticker, stop: Stop) -> None:
    """Tick whenever the schedule says so, until the end; one that comes late is not made up for."""
    from clearlift_adapters.web.app import TickUnderWayError  # noqa: PLC0415  starlette

    clock, cron = clock_of(flags, writes=False), flags.settings.cron

    async def once() -> int:
        try:
            return (await ticker.tick())[1]
        except TickUnderWayError as exc:  # Somebody has asked for one.
            flags.log.note("info", "this tick is left out", why=str(exc))
            return exits.DONE

    while True:
        at_ms = next_after(cron, clock.now())
        while (left_ms := at_ms - clock.now()) > 0 and not stop.asked():
            await stop.wait(min(left_ms / 1000, LONGEST_NAP_S))
        if stop.asked():
            return
        code = await exits.survived(once, flags)
        if code != exits.DONE:
            flags.log.note("warning", "a tick did not end well", code=code)


async def _expect_database(flags: Flags) -> None:
    """See that the database is there; one that does not answer is waited for."""
    try:
        async with open_world(flags, "ro"):
            pass
    except UnavailableError as exc:
        if isinstance(exc, ConfigurationError):
            raise
        flags.log.note("warning", "the database does not answer yet", why=str(exc))


def _token(flags: Flags) -> str | None:
    token = flags.settings.serve_token
    return None if token is None else token.value


@contextmanager
def bound(flags: Flags, host: str, port: int) -> Generator[socket.socket]:
    """Listen; what comes meanwhile waits.

    Raises:
        ConfigurationError: the address cannot be had, or there is no token and there must be.
    """
    if not all(map(find_spec, ("starlette", "uvicorn"))):
        raise ConfigurationError(_NO_WEB)
    token = _token(flags)
    if token is None and not is_loopback(host):
        raise ConfigurationError(_OPEN_TO_ALL)
    problem = None if token is None else token_problem(token)
    if problem is not None:
        raise ConfigurationError(f"{problem}; make one by {MAKE_ONE}")
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server(address, family=family)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot listen at {host}:{port}: {exc.strerror}; choose others with --host and --port"
        ) from exc
    with listener:
        yield listener


def announce(flags: Flags, listener: socket.socket, host: str) -> None:
    """Say where it listens."""
    named = f"[{host}]" if ":" in host else host
    url = f"http://{named}:{listener.getsockname()[1]}/"
    if flags.json:
        output.print_json(AddressView(url))
    else:
        output.print_line(f"serving at {url} until SIGTERM")
    output.flush()


async def served(
    flags: Flags, ticker: Ticker, listener: socket.socket, door: Door, stop: Stop
) -> None:
    """Answer requests until asked to stop; what is being answered then is answered."""
    import uvicorn  # noqa: PLC0415  the extra

    from clearlift_adapters.web.app import app  # noqa: PLC0415  likewise
    from clearlift_adapters.web.callers import Caller, accept_errors_told, room  # noqa: PLC0415  likewise

    class Server(uvicorn.Server):
        """One that leaves the signals alone: they are taken for all that run here."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    config = uvicorn.Config(
        app(LiveViews(flags, ticker), door),
        lifespan="off",
        ws="none",
        http=Caller,
        backlog=room().backlog,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # Who the peer is, is not for the peer to say.
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = Server(config)
    with accept_errors_told(lambda why: flags.log.note("warning", _NOT_ACCEPTED, why=why)):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ended = asyncio.create_task(stop.until_asked())
        try:
            await asyncio.wait((serving, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.should_exit = True
            ended.cancel()
            await serving
