"""Rows about refreshing tokens, at an endpoint on this machine that answers at once."""

import base64
import secrets
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.stores.library import sqlite3
from tests.benchmarks.measure import Spent, copied, cron, migrated, python, ratio
from tests.benchmarks.reach import Figure, Row

UNPACED: Final = 1_000
PER_SECOND_MAX: Final = 10_000  # As fast as a provider may be declared: it never waits.
PACED: Final = 100
PER_SECOND: Final = 10
AT_ONCE: Final = (1, 2, 5, 10, 20)


@contextmanager
def endpoint() -> Generator[str]:
    """Serve tokens until the block ends; yield where."""
    command = [sys.executable, "-m", "tests.benchmarks.endpoint"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/token"
        process.stdin.close()


class Took(NamedTuple):
    """What 1,000 requests took; the processor's time without that of a tick with nothing due."""

    wall_s: float
    cpu_s: float


class Bench:
    """A database of connections whose tokens have ended, and the settings to refresh them."""

    def __init__(self, folder: Path, url: str, *, size: int, per_second: int) -> None:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._empty, self._file, self._size = folder / "expired.db", folder / "refreshed.db", size
        config = folder / "clearlift.toml"
        config.write_text(
            f'[providers.acme]\ntoken_url = "{url}"\nclient_id = "c"\nrotates = false\n'
            f'client_secret_env = "BENCH_SECRET"\nrequests_per_second = {per_second}\n'
        )
        self._env: Mapping[str, str] = {
            "ENCRYPTION_KEY": key,
            "CLEARLIFT_CONFIG": str(config),
            "BENCH_SECRET": secrets.token_hex(),
        }
        self._fill(FieldCipher(key))

    def _fill(self, cipher: FieldCipher) -> None:
        self._empty.unlink(missing_ok=True)
        db = sqlite3.connect(migrated(self._empty))
        db.execute("INSERT INTO organizations (id) VALUES ('org')")
        db.executemany(
            "INSERT INTO platform_connections (id, organization_id, platform, account_id,"
            " connected_by, credentials_encrypted, refresh_token_encrypted, expires_at)"
            " VALUES (?, 'org', 'acme', ?, 'u', ?, ?, '2026-10-10T12:00:10Z')",
            [
                (f"c{n}", str(n), cipher.seal(f"at-{n}"), cipher.seal(f"rt-{n}"))
                for n in range(self._size)
            ],
        )
        db.commit()
        db.close()

    def tick(self) -> Spent:
        """Refresh them all."""
        spent = cron(copied(self._empty, self._file), "tick", "--json", env=self._env)
        assert spent.report["refreshed"] == spent.report["jobs_created"] == self._size, spent.report
        return spent

    def rest(self) -> Spent:
        """Tick once more, when nothing is due."""
        return cron(self._file, "tick", "--json", env=self._env)


def unpaced(folder: Path, rounds: int) -> Figure:
    """Return a loop of httpx, at its best concurrency, ÷ a tick that asks as often."""
    with endpoint() as url:
        bench = Bench(folder, url, size=UNPACED, per_second=PER_SECOND_MAX)

        def tick() -> Took:
            spent, resting = bench.tick(), bench.rest()
            return Took(spent.report["duration_ms"] / 1000, spent.cpu_s - resting.cpu_s)

        def bare(at_once: int) -> Took:
            done = python("-m", "tests.benchmarks.bare", url, str(UNPACED), str(at_once))
            return Took(*map(float, done.output.split()))

        best = min(AT_ONCE, key=lambda at_once: bare(at_once).wall_s)
        turns = [(tick(), bare(best)) for _ in range(rounds)]
    ours, bares = zip(*turns, strict=True)
    walls, bare_walls = [each.wall_s for each in ours], [each.wall_s for each in bares]
    per_s, bare_per_s = UNPACED / min(walls), UNPACED / min(bare_walls)
    said = f"{per_s:,.0f} a second; httpx alone, {best} at once, {bare_per_s:,.0f}"
    cpu = ratio([each.cpu_s for each in bares], [each.cpu_s for each in ours])
    return Figure(ratio(bare_walls, walls), cpu, said)


def paced(folder: Path, rounds: int) -> Figure:
    """Return how long refreshes took that may come ten a second ÷ the time that this allows."""
    with endpoint() as url:
        bench = Bench(folder, url, size=PACED, per_second=PER_SECOND)
        taken = [bench.tick().report["duration_ms"] / 1000 for _ in range(min(rounds, 3))]
    return Figure(sorted(taken)[len(taken) // 2] / (PACED / PER_SECOND))


ROWS: Final = (
    Row(
        "refresh",
        "1,000 refreshes, unpaced ÷ httpx alone at its best",
        "at least",
        0.7,
        0.9,
        unpaced,
        "each has a connection of its own, is decrypted, claimed before it is asked, encrypted, "
        "sealed and stored",
    ),
    Row("paced", "refreshes paced at 10/s, elapsed ÷ (N / rate)", "at most", 1.05, 1.01, paced),
)
