"""The program as its users run it, on D1 and Cloudflare Queues instead of a file."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.e2e.program import Done, Program
from tests.seed import Row, Seed
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.tables import D1Tables


class CloudProgram(Program):
    """The installed program, and a stage of the running Cloudflare that its URLs name."""

    def __init__(self, folder: Path, running: Cloudflare, **environment: str) -> None:
        self.running, self.stage = running, running.stage()
        ours = {
            "CLEARLIFT_DATABASE": self.stage.database_url,
            "CLEARLIFT_QUEUE": self.stage.queue_url,
            "CLOUDFLARE_API_BASE_URL": running.base_url,
            "CLOUDFLARE_API_TOKEN": running.tokens.token,
        }
        super().__init__(folder, **{**ours, **environment})

    @contextmanager
    def tables(self) -> Generator[Seed]:
        with D1Tables(self.running, self.stage) as tables:
            yield Seed(tables)

    def load(self, script: str) -> None:
        with D1Tables(self.running, self.stage) as tables:
            tables.run(script)

    async def messages(self) -> tuple[Done, Sequence[Row]]:
        bodies = [
            (msgspec.json.decode(each.body, type=dict[str, Any]), each.attempts - 1)
            for each in self.running.deliveries(self.stage.recorded)
        ]
        rows = [
            {"job_id": body["job_id"], "body": body, "attempts": attempts}
            for body, attempts in bodies
        ]
        return await self.done("queue", "depth", "--json"), rows
