"""The row about D1: how many requests a tick makes, counted by workerd behind the API's paths."""

import asyncio
from pathlib import Path
from typing import Final

from tests.benchmarks.reach import Figure, Row
from tests.workerd.cloudflare import cloudflare
from tests.workerd.npm import install, node
from tests.workerd.program import CloudProgram
from tests.workerd.test_requests import connect

CONNECTIONS: Final = 1_000


def requests(folder: Path, rounds: int) -> Figure:
    """Return the requests of one tick over a thousand connections; a count needs no rounds."""
    del rounds
    install()
    with cloudflare(node()) as running:
        program = CloudProgram(folder, running)
        asyncio.run(program.done("migrate"))
        connect(running, program.stage, CONNECTIONS, "stripe")
        before = len(running.requests())
        report = asyncio.run(program.done("tick", "--json")).report
        assert report["jobs_created"] == CONNECTIONS
        return Figure(len(running.requests()) - before)


ROWS: Final = (
    Row("d1", "D1: REST requests for a tick over 1,000 connections", "at most", 12, 8, requests),
)
