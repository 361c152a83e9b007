"""eventsourcing on SQLite: three events for each job, many aggregates saved together; no queue."""

from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from tests.benchmarks.peers.jobs import asked, portions, tell, timed


class Connection(Aggregate):
    """A connection, of which three things are recorded, as we record them."""

    @event("FellDue")
    def __init__(self, connection_id: str) -> None:
        self.connection_id = connection_id
        self.job_id = self.receipt = ""

    @event("JobCreated")
    def create_job(self, message: dict[str, Any]) -> None:
        """Record a job, with its whole message."""
        self.job_id = message["job_id"]

    @event("JobEnqueued")
    def enqueue(self, receipt: str) -> None:
        """Record that it was handed over."""
        self.receipt = receipt


def main() -> None:
    """Record the jobs."""
    jobs, folder = asked()
    app = Application[Any](
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "eventsourcing.db"),
        }
    )

    def record() -> None:
        for some in portions(jobs):
            conns = [Connection(job["connection_id"]) for job in some]
            for conn, job in zip(conns, some, strict=True):
                conn.create_job(job)
            app.save(*conns)
            for conn, job in zip(conns, some, strict=True):
                conn.enqueue(job["job_id"])
            app.save(*conns)

    watch = timed(record)
    there = app.recorder.max_notification_id() or 0
    app.close()
    tell(watch, there=there, wanted=3 * len(jobs))


if __name__ == "__main__":
    main()
