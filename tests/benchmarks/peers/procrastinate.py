"""procrastinate on PostgreSQL: jobs deferred in batches."""

import asyncio
from functools import partial

from procrastinate import App, PsycopgConnector

from tests.benchmarks.peers.jobs import Stopwatch, asked, portions, tell
from tests.benchmarks.peers.servers import postgres, postgres_cpu_s


async def main(url: str) -> None:
    """Hand the jobs over."""
    jobs, _ = asked()
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="sync")
    def sync(job: dict[str, object]) -> None:
        """Never run."""

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        with Stopwatch(partial(postgres_cpu_s, url)) as watch:
            for some in portions(jobs):
                await sync.batch_defer_async(*({"job": job} for job in some))
        there = len(list(await app.job_manager.list_jobs_async()))
    tell(watch, there=there, wanted=len(jobs))


if __name__ == "__main__":
    with postgres() as made:
        asyncio.run(main(made))
