"""A database of rows as no program should have written them, all of them drawn from a seed.

Six hundred in every run; a hundred thousand with CLEARLIFT_PROOF=full. One in ten is healthy,
and whatever the others are, each of those gets its one job and its one message.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Final

import pytest

from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import MINUTE_MS, iso
from tests.cli.program import Ended
from tests.e2e.program import CIPHER
from tests.given import NOW_MS, ODD_IDS, ago, plain
from tests.seed import Value
from tests.trouble.files import FULL
from tests.trouble.scene import LATER_MS, Scene

ROWS: Final = 100_000 if FULL else 600
HEALTHY_EACH: Final = 10  # One row in so many.
HUGE_EACH: Final = 1_000
HUGE: Final = "x" * 2 * 1024 * 1024
FINE: Final = {0, 3}  # Of a tick: done, or done and too many have failed.

TEXTS: Final[Sequence[Value]] = (
    *(
        "",
        " ",
        "null",
        "NULL",
        "0",
        "-1",
        "1e999",
        "NaN",
        "true",
        "[]",
        "{}",
        '["ads"]',
        "\0",
        "\x7f",
    ),
    *("'", '"', "`", "%", "_", "*", ";--", "\\", "\n", "\r\n", "\t", "\u2028", "\ufeff", "\ufffd"),
    *("'; DROP TABLE outbox; --", "${HOME}", "{{7*7}}", "../../etc/passwd", "<script>", "💥" * 50),
    *ODD_IDS,
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xed\xb0\x80 half of a pair",
        bytes(range(256)),
    ),
    *(None, 0, -1, 1, 2**63 - 1, -(2**63), 1e308, -0.0, 5e-324, 3.14),
)
TIMES: Final[Sequence[Value]] = (
    *(
        None,
        "",
        "now",
        "yesterday",
        "0000-00-00 00:00:00",
        "9999-12-31T23:59:59.999Z",
        "1970-01-01",
    ),
    *(
        "2026-02-30 12:00:00",
        "2026-10-10T12:00:00+14:00",
        "2026-10-10t12:00:00z",
        "20261010T120000",
    ),
    *("2026-10-10 12:00:00.123456789", "-4713-11-24 12:00:00", "2461323.5", "12:00", "+1 day"),
    *(1791626400, 1791626400000, 2461323.9, -1, b"2026-10-10", b"\xff", "2026-10-10 25:61:61"),
    *(plain(ago(hours=2)), iso(ago(hours=2)), plain(ago(days=9)), iso(NOW_MS + MINUTE_MS)),
)
PLATFORMS: Final[Sequence[Value]] = (
    "stripe",
    "stripe",
    "linkedin",
    "acme",
    "",
    "Google",
    b"\xff",
    7,
)
STATUSES: Final[Sequence[Value]] = (
    None,
    "pending",
    "completed",
    "failed",
    "syncing",
    "",
    "?",
    1,
    b"",
)
JOB_STATUSES: Final[Sequence[Value]] = (
    "pending",
    "running",
    "completed",
    "failed",
    None,
    "",
    3,
    b"",
)

CONNECTION: Final = """
INSERT OR IGNORE INTO platform_connections (
  id, organization_id, platform, account_id, account_name, connected_by, connected_at,
  last_synced_at, sync_status, sync_error, is_active, credentials_encrypted,
  refresh_token_encrypted, expires_at, scopes
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
JOB: Final = """
INSERT OR IGNORE INTO sync_jobs (
  id, organization_id, connection_id, status, job_type, started_at, completed_at, error_message,
  records_synced, created_at, metadata
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Bytes that are no UTF-8, in a column of text: what a program in another language leaves behind.
BYTES_AS_TEXT: Final = """
UPDATE platform_connections SET
  account_name = CAST(account_name AS TEXT), sync_error = CAST(sync_error AS TEXT),
  scopes = CAST(scopes AS TEXT), account_id = CAST(account_id AS TEXT)
WHERE rowid % 2 AND id NOT LIKE 'healthy%'
"""


def drawn(random: Random) -> Iterator[Sequence[Value]]:
    """Yield connections for ever: each column holds something ordinary, or anything at all."""
    sealed: list[Value] = [CIPHER.seal("at"), CIPHER.seal("rt"), CIPHER.seal(""), "no such thing"]
    for number in count(1):
        odd = [random.choice(TEXTS) for _ in range(6)]
        times = [random.choice(TIMES) for _ in range(3)]
        tokens = [random.choice([*sealed, *TEXTS]) for _ in range(2)]
        if number % HUGE_EACH == 0:
            odd[random.randrange(6)] = HUGE
        name, account = (_named(each, number) for each in (random.choice(TEXTS), odd[0]))
        active = random.choice([1, 1, 1, 0, odd[5]])
        status = random.choice(STATUSES)
        whose = [name, "org", random.choice(PLATFORMS), account, odd[1], odd[2] or "user"]
        yield (*whose, times[0], times[1], status, odd[3], active, *tokens, times[2], odd[4])


def _named(odd: Value, number: int) -> Value:
    """Return an id of which there is one."""
    match odd:
        case str():
            return f"{odd} {number}"
        case bytes():
            return odd + str(number).encode()
        case _:
            return f"{number} {odd}"


def healthy(number: int) -> Sequence[Value]:
    name = f"healthy {number}"
    synced = plain(ago(hours=2))
    return (
        name,
        "org",
        "stripe",
        name,
        None,
        "u",
        synced,
        synced,
        "pending",
        None,
        1,
        "s",
        *[None] * 3,
    )


def jobs(random: Random, connections: Sequence[Sequence[Value]]) -> Iterator[Sequence[Value]]:
    """Yield jobs that some other program made, most of them of connections that there are."""
    for number, connection in enumerate(connections):
        odd = [random.choice(TEXTS) for _ in range(4)]
        times = [random.choice(TIMES) for _ in range(3)]
        owner = connection[0] if random.random() < 0.8 else odd[0]
        yield (
            *(
                _named(odd[1], number),
                "org",
                owner or "nobody",
                random.choice(JOB_STATUSES),
                odd[2],
            ),
            *(times[0], times[1], odd[3], random.choice((0, -1, "many", None)), times[2]),
            random.choice(("{}", "none", '{"created_by":"somebody"}', "[1]", None, b"\xff")),
        )


def fill(file: Path, seed: int) -> int:
    """Fill the database; return how many of its connections are healthy."""
    random = Random(seed)
    odd = list(islice(drawn(random), ROWS - ROWS // HEALTHY_EACH))
    well = [healthy(number) for number in range(ROWS // HEALTHY_EACH)]
    mixed = [*odd, *well]
    random.shuffle(mixed)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("DELETE FROM platform_connections")
        db.executemany(CONNECTION, mixed)
        db.executemany(JOB, jobs(random, random.sample(odd, len(odd) // 3)))
        db.execute(BYTES_AS_TEXT)
        db.execute("COMMIT")
    return len(well)


def run(scene: Scene, *arguments: str, now_ms: int = NOW_MS) -> Ended:
    """Run one command line; whatever it finds, it is no surprise to it."""
    ended = scene.run(*arguments, now_ms=now_ms)
    assert "Traceback" not in ended.err
    assert "unexpected" not in ended.err
    return ended


def created_for(scene: Scene) -> Counter[str]:
    """Return how many jobs were created for whom, each of which must be in the queue once."""
    with scene.tables() as tables:
        rows = [row for row in tables.rows("outbox") if row["transition"] == "job_created"]
        queued = [row["job_id"] for row in tables.rows("queue_messages")]
    assert sorted(queued) == sorted(row["job_id"] for row in rows)
    return Counter(row["connection_id"] for row in rows)


@pytest.mark.parametrize("seed", [1])
def test_whatever_the_rows_are_the_healthy_are_served_and_nothing_is_a_surprise(
    scene: Scene, seed: int
) -> None:
    (scene.program.folder / "clearlift.toml").write_text(scene.authority.declaration(1000))
    well = fill(scene.file, seed)

    plan = run(scene, "tick", "--dry-run", "--json")
    tick = run(scene, "tick", "--json")
    relay = run(scene, "relay", "--drain", "--json")
    again = run(scene, "tick", "--relay", "--json", now_ms=LATER_MS)
    replay = run(scene, "replay", "--json", now_ms=LATER_MS)

    assert (plan.code, relay.code, replay.code) == (0, 0, 0)
    assert {tick.code, again.code} <= FINE
    assert tick.json["jobs_created"] == relay.json["delivered"] > well
    assert replay.json["violations"] == []
    assert {created_for(scene)[f"healthy {number}"] for number in range(well)} == {1}
    for command in (("status", "--json"), ("connections", "list", "--json"), ("queue", "depth")):
        assert run(scene, *command, now_ms=LATER_MS).code == 0
