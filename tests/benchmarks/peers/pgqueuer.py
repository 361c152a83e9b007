"""pgqueuer on PostgreSQL: lists of jobs, each with its id as the key against duplicates."""

import asyncio
import json
from functools import partial

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from tests.benchmarks.peers.jobs import Stopwatch, asked, portions, tell
from tests.benchmarks.peers.servers import postgres, postgres_cpu_s


async def main(url: str) -> None:
    """Hand the jobs over."""
    jobs, _ = asked()
    db = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(db))
    await queries.install()
    with Stopwatch(partial(postgres_cpu_s, url)) as watch:
        for some in portions(jobs):
            await queries.enqueue(
                ["sync"] * len(some),
                [json.dumps(job).encode() for job in some],
                [0] * len(some),
                dedupe_key=[job["job_id"] for job in some],
            )
    there = sum(each.count for each in await queries.queue_size())
    await db.close()
    tell(watch, there=there, wanted=len(jobs))


if __name__ == "__main__":
    with postgres() as made:
        asyncio.run(main(made))
