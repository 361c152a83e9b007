"""The servers that peers need: PostgreSQL and RabbitMQ as they run here, and a Redis of our own."""

import os
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

POSTGRES: Final = os.environ.get("BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
RABBITMQ: Final = os.environ.get("BENCH_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
STARTS_WITHIN_S: Final = 10


@contextmanager
def postgres() -> Generator[str]:
    """Make a database for a while; yield its URL. It has to be durable, as by default."""
    import psycopg  # noqa: PLC0415  peers without PostgreSQL do without its driver

    name = f"clearlift_bench_{os.getpid()}"
    with psycopg.connect(POSTGRES, autocommit=True) as db:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            row = db.execute("SELECT current_setting(%s)", [setting]).fetchone()
            assert row == ("on",), f"{setting} is {row}"
        db.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{POSTGRES.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as db:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def postgres_cpu_s(url: str) -> float:
    """Return the processor time of all backends that serve a database on this machine."""
    import psycopg  # noqa: PLC0415  peers without PostgreSQL do without its driver

    with psycopg.connect(url) as db:
        found = db.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return sum(cpu_s(pid) for (pid,) in found)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, user and system, in its kernel's hundredths."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def redis_server(folder: Path) -> Generator[tuple[str, int]]:
    """Start a Redis that syncs each command before it answers; yield its socket and its id."""
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            give_up_at = time.monotonic() + STARTS_WITHIN_S
            while not socket.exists() and time.monotonic() < give_up_at:
                time.sleep(0.05)
            yield str(socket), server.pid
        finally:
            server.terminate()
