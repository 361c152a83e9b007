"""celery on RabbitMQ: persistent messages over one producer, by their own ids.

As by default, nobody waits for the broker to confirm that it has them: that is faster than what we
promise, and not as safe.
"""

import os

from celery import Celery
from kombu import Connection, Queue

from tests.benchmarks.peers.jobs import asked, tell, timed
from tests.benchmarks.peers.servers import RABBITMQ


def main() -> None:
    """Hand the jobs over."""
    jobs, _ = asked()
    name = f"clearlift-bench-{os.getpid()}"
    app = Celery("bench", broker=RABBITMQ)
    app.conf.update(task_ignore_result=True, task_queues=[Queue(name)], task_default_queue=name)

    @app.task(name="sync")
    def sync(job: dict[str, object]) -> None:
        """Never run."""

    with app.producer_or_acquire() as producer:
        queue = Queue(name, channel=producer.channel, durable=True)
        queue.declare()

        def hand_over() -> None:
            for job in jobs:
                sync.apply_async((job,), task_id=job["job_id"], producer=producer, queue=name)
            producer.channel.queue_declare(name, passive=True)  # Answered once it has them all.

        watch = timed(hand_over)
    with Connection(RABBITMQ) as connection:
        channel = connection.channel()
        there = channel.queue_declare(name, passive=True).message_count
        channel.queue_delete(name)
    tell(watch, there=there, wanted=len(jobs))


if __name__ == "__main__":
    main()
