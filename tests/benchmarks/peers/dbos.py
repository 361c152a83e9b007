"""dbos on PostgreSQL: workflows enqueued by a client, many in one transaction, by their own ids."""

from functools import partial

import sqlalchemy
from dbos import DBOSClient, EnqueueOptions, run_dbos_database_migrations

from tests.benchmarks.peers.jobs import asked, portions, tell, timed
from tests.benchmarks.peers.servers import postgres, postgres_cpu_s


def main(plain: str) -> None:
    """Hand the jobs over."""
    jobs, _ = asked()
    url = plain.replace("postgresql:", "postgresql+psycopg:")
    run_dbos_database_migrations(system_database_url=url)
    client = DBOSClient(system_database_url=url)
    client.register_queue("sync-jobs")
    engine = sqlalchemy.create_engine(url)

    def hand_over() -> None:
        for some in portions(jobs):
            with engine.begin() as db:
                for job in some:
                    options = EnqueueOptions(
                        workflow_name="sync", queue_name="sync-jobs", workflow_id=job["job_id"]
                    )
                    client.enqueue_in_transaction(db, options, job)

    watch = timed(hand_over, partial(postgres_cpu_s, plain))
    there = len(client.list_queued_workflows(load_input=False))
    client.destroy()
    engine.dispose()
    tell(watch, there=there, wanted=len(jobs))


if __name__ == "__main__":
    with postgres() as made:
        main(made)
