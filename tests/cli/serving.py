"""The program as a server: started, asked over HTTP, ended."""

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import msgspec

from tests.cli.program import Ended, Program

PATIENCE_S = 30.0


class Server:
    """A server that runs: what it answers, and how it ends."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process, self.url = process, url
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for something; `_` in a header's name is `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named)

    def end(self) -> Ended:
        """Ask it to end, and return how it did."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Ended(self.process.returncode, out, err)


@contextmanager
def server(program: Program, *arguments: str, **environment: str) -> Generator[Server]:
    """Start a command that serves, on a port of its own, and see that it ends."""
    process = program.start(*arguments, "--port", "0", "--json", **environment)
    running: Server | None = None
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate(timeout=PATIENCE_S)[1])
        running = Server(process, msgspec.json.decode(line, type=dict[str, str])["url"])
        yield running
    finally:
        if running is not None:
            running.client.close()
        process.kill()
        process.communicate(timeout=PATIENCE_S)
