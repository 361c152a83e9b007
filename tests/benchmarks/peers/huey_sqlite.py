"""huey on SQLite, synced at each task: it takes them one by one."""

from huey import SqliteHuey

from tests.benchmarks.peers.jobs import asked, tell, timed


def main() -> None:
    """Hand the jobs over."""
    jobs, folder = asked()
    huey = SqliteHuey("sync-jobs", filename=str(folder / "huey.db"), fsync=True, results=False)

    @huey.task()
    def sync(job: dict[str, object]) -> None:
        """Never run."""

    watch = timed(lambda: sync.map((job,) for job in jobs))
    tell(watch, there=huey.pending_count(), wanted=len(jobs))


if __name__ == "__main__":
    main()
