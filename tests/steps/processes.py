"""Starts processes of the program that are forked off a warm one, and waits for them."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from tests.e2e.program import Done
from tests.steps.warm import Order, Said

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 120  # For one process: none takes a second, but the machine may be busy.


class Running:
    """A process that has been started."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.pid = 0
        self.out = self.err = Path(os.devnull)

    async def news(self) -> Said:
        """Return what it says next: that it was stopped, or how it ended."""
        async with asyncio.timeout(PATIENCE_S):
            line = await self._reader.readline()
        return msgspec.json.decode(line, type=Said)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def ended(self) -> Done:
        """Return what came of it; it must not stop any more."""
        said = await self.news()
        assert said.code is not None, "it was stopped"
        return self.done(said.code)

    def done(self, code: int) -> Done:
        """Return what came of it, having ended with this code."""
        self._writer.close()
        return Done(code, _content(self.out), _content(self.err))


class Warm:
    """A warm process, and the way to it."""

    def __init__(self, path: Path, library: Path) -> None:
        self._path, self.library = path, library
        self._numbers = count()

    async def start(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        out: str | None = None,
    ) -> Running:
        """Start one command in a folder; its outputs go to files there, but for `out`."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(self._path)
            number = next(self._numbers)
            running = Running(reader, writer)
            running.err = folder / f"err-{number}"
            running.out = folder / f"out-{number}" if out is None else Path(out)
            order = Order(
                [*arguments], {**environment}, str(folder), str(running.out), str(running.err)
            )
            writer.write(msgspec.json.encode(order) + b"\n")
            await writer.drain()
        running.pid = (await running.news()).pid or 0
        return running

    async def run(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        out: str | None = None,
    ) -> Done:
        """Return what came of one command."""
        return await (await self.start(folder, arguments, environment, out=out)).ended()


@contextmanager
def warm(library: Path) -> Generator[Warm]:
    """Have a warm process until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "tests.steps.warm", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            try:
                yield Warm(path, library)
            finally:
                process.kill()


def _content(path: Path) -> bytes:
    if not path.is_file():
        return b""
    content = path.read_bytes()
    path.unlink()
    return content
