"""huey on a Redis that syncs each command: it takes tasks one by one."""

from functools import partial

from huey import RedisHuey

from tests.benchmarks.peers.jobs import asked, tell, timed
from tests.benchmarks.peers.servers import cpu_s, redis_server


def main() -> None:
    """Hand the jobs over."""
    jobs, folder = asked()
    with redis_server(folder) as (socket, pid):
        huey = RedisHuey("sync-jobs", url=f"unix://{socket}", results=False)

        @huey.task()
        def sync(job: dict[str, object]) -> None:
            """Never run."""

        watch = timed(lambda: sync.map((job,) for job in jobs), partial(cpu_s, pid))
        tell(watch, there=huey.pending_count(), wanted=len(jobs))


if __name__ == "__main__":
    main()
