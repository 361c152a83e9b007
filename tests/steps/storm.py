"""A storm: processes on one database, killed and frozen at I/O steps at random, for minutes.

Six at a time tick, relay and audit, over connections whose tokens are refreshed in every cycle. The
clocks of all run twice as fast as the machine's, so that minutes are hours. A consumer takes
what is queued, so that there is always more to do. Which process gets which fate is drawn from a
seed; how they interleave is up to the machine, so no two storms are the same.

The providers know which process asks: it has an address of its own. A request is clear if its
process was neither killed nor frozen; for whoever has a clear answer, the token is spent.
"""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from tests.e2e.authority import sent_in
from tests.e2e.program import CIPHER, Done
from tests.given import NOW_MS
from tests.loopback import Visit
from tests.seed import Row
from tests.steps.checker import (
    Facts,
    reasons,
    wrongs_of_file,
    wrongs_of_jobs,
    wrongs_of_rest,
)
from tests.steps.points import KILLS, STOPS, Point
from tests.steps.processes import Warm
from tests.steps.stage import Providers, Stage, stage
from tests.steps.sweep import KILLED, unlike

PACE: Final = 2
SLOTS: Final = 6
KILLED_SHARE: Final = 0.3
FROZEN_SHARE: Final = 0.2
FREEZE_MAX_S: Final = 40.0  # Longer than a lease, as these clocks run; most are much shorter.
CONNECTIONS: Final = (
    *(f"tiktok-{number}" for number in range(60)),
    *(f"google-{number}" for number in range(30)),
    *(f"c{number}" for number in range(10)),
)
# With the steps that most of them take. A tick takes few, so that many share the work.
COMMANDS: Final[Sequence[tuple[Sequence[str], int]]] = (
    (("tick", "--limit", "2", "--json"), 90),
    (("tick", "--limit", "3", "--json"), 120),
    (("tick", "--relay", "--limit", "3", "--json"), 150),
    (("relay", "--drain", "--json"), 50),
    (("replay", "--json"), 20),
)
SETTINGS: Final = {
    "CLEARLIFT_SYNC_INTERVAL": "20",
    "CLEARLIFT_REFRESH_MARGIN": "7200",  # Longer than any token lives: each cycle refreshes.
    "CLEARLIFT_FAIL_THRESHOLD": "100",
}
# Then all is calm, and time goes on until every lease, pause and backoff is over.
SETTLING_MS: Final = (2 * MINUTE_MS, 20 * MINUTE_MS, 7 * HOUR_MS, 14 * HOUR_MS, 21 * HOUR_MS)
OPEN_TWICE: Final = (
    "SELECT connection_id FROM sync_jobs WHERE status IN ('pending', 'running') "
    "GROUP BY connection_id HAVING count(*) > 1"
)
CONSUMED: Final = """
CREATE TEMP TABLE done AS
  SELECT j.id, j.connection_id, json_extract(j.metadata, '$.sync_window.end') AS until
  FROM sync_jobs AS j JOIN queue_messages AS m ON m.job_id = j.id WHERE j.status = 'pending';
BEGIN IMMEDIATE;
UPDATE platform_connections SET last_synced_at = d.until
  FROM done AS d WHERE d.connection_id = platform_connections.id;
UPDATE sync_jobs SET status = 'completed' WHERE id IN (SELECT id FROM done);
COMMIT;
"""


@dataclass
class Request:
    """One request for new tokens."""

    process: str
    token: str
    answered: bool = False


class Watching(Providers):
    """Providers that keep a ledger: who asked with what; answers take a while."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.random = Random(1)

    async def grant(self, visit: Visit) -> None:
        request = Request(visit.target.split("/")[2], sent_in(visit))
        self.requests.append(request)
        await asyncio.sleep(self.random.random() * 0.05)
        await super().grant(visit)
        request.answered = True


@dataclass
class Weather:
    """What happened, and what was wrong."""

    processes: Counter[str] = field(default_factory=Counter[str])
    harmed: set[str] = field(default_factory=set[str])  # Whose requests are not clear.
    broken: list[str] = field(default_factory=list[str])
    jobs: int = 0
    requests: int = 0

    def __str__(self) -> str:
        fates = ", ".join(f"{number} {fate}" for fate, number in sorted(self.processes.items()))
        return (
            f"storm: {self.processes.total()} processes ({fates}), {self.requests} requests for "
            f"tokens, {self.jobs} jobs; {len(self.broken)} broken"
        )


class Storm:
    """One storm over one database."""

    def __init__(self, place: Stage, providers: Watching, seed: int) -> None:
        self.place, self.providers, self.random = place, providers, Random(seed)
        self.weather = Weather()
        self.origin_ns = time.monotonic_ns()
        self.freeze_max_s = FREEZE_MAX_S
        self.calm_ms: int | None = None  # The time of day, once all is calm.

    async def run(self, seconds: float) -> Weather:
        """Let it rage, and calm down; return what happened."""
        end = time.monotonic() + seconds
        self.freeze_max_s = min(FREEZE_MAX_S, seconds / 4)
        async with asyncio.TaskGroup() as group:
            for slot in range(SLOTS):
                group.create_task(self._slot(slot, end))
            group.create_task(self._consume(end))
        stopped_ms = NOW_MS + (time.monotonic_ns() - self.origin_ns) * PACE // 1_000_000
        for later_ms in SETTLING_MS:
            self.calm_ms = stopped_ms + later_ms
            await self._live("settling", ("tick", "--relay", "--json"), None)
        await self._live("audit", ("replay", "--json"), None)
        self._check()
        return self.weather

    async def _slot(self, slot: int, end: float) -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            (arguments, steps), luck = self.random.choice(COMMANDS), self.random.random()
            point = None
            if luck < KILLED_SHARE + FROZEN_SHARE:
                mode = self.random.choice(KILLS if luck < KILLED_SHARE else STOPS)
                point = Point(mode, self.random.randint(1, steps))
            await self._live(f"p{slot}-{number}", arguments, point)

    async def _live(self, name: str, arguments: Sequence[str], point: Point | None) -> None:
        """Start one process, let its fate happen to it, and look at how it ended."""
        told = {**self._environment(name), **({} if point is None else point.environment)}
        running = await self.place.warm.start(self.place.folder, arguments, told)
        said = await running.news()
        while said.stopped:
            self.weather.harmed.add(name)
            await asyncio.sleep(self.random.random() ** 3 * self.freeze_max_s)
            running.signal(signal.SIGCONT)
            said = await running.news()
        assert said.code is not None
        done = running.done(said.code)
        if done.code == KILLED:
            self.weather.harmed.add(name)
        self._note(name, arguments, done)

    def _note(self, name: str, arguments: Sequence[str], done: Done) -> None:
        fate = {0: "ended well", 3: "ended well", 5: "found the file locked", KILLED: "killed"}
        frozen = name in self.weather.harmed and done.code != KILLED
        self.weather.processes["frozen" if frozen else fate.get(done.code, "wrong")] += 1
        codes = {0, 3, 5, KILLED} if name.startswith("p") else {0, 3}
        wrong = unlike(done, codes)
        self.weather.broken += [f"{' '.join(arguments)}: {each}" for each in wrong]

    def _environment(self, name: str) -> dict[str, str]:
        urls = {
            "GOOGLE_TOKEN_URL": f"{self.providers.url}/{name}/google",
            "TIKTOK_TOKEN_URL": f"{self.providers.url}/{name}/acme",  # It rotates, and forgives.
        }
        if self.calm_ms is None:
            clock = {"STEPS_PACE": f"{PACE},{self.origin_ns},{NOW_MS * 1_000_000}"}
        else:
            clock = {"CLEARLIFT_NOW": iso(self.calm_ms)}
        return {**self.place.program.environment, **urls, **clock}

    async def _consume(self, end: float) -> None:
        """Do what is queued, as the queue's consumer does, and see that no job is open twice."""
        while time.monotonic() < end:
            await asyncio.sleep(0.3)
            with closing(sqlite3.connect(self.place.program.file, timeout=0.01)) as db:
                try:
                    twice = db.execute(OPEN_TWICE).fetchall()
                    db.executescript(CONSUMED)
                except sqlite3.OperationalError:
                    continue  # Somebody writes, or is frozen while writing.
            self.weather.broken += [f"{row[0]} has two open jobs" for row in twice]

    def _check(self) -> None:
        facts, weather = Facts(self.place.program.file), self.weather
        weather.jobs, weather.requests = (
            len(facts.tables["sync_jobs"]),
            len(self.providers.requests),
        )
        weather.broken += [
            *wrongs_of_file(facts),
            *wrongs_of_jobs(facts),
            *wrongs_of_rest(self.place),
            *self._unsettled(facts),
            *self._overspent(facts),
        ]

    def _unsettled(self, facts: Facts) -> list[str]:
        """Return who is not where a calm worker leaves everybody, or has lost the newest token."""
        wrong: list[str] = []
        for row in facts.tables["platform_connections"]:
            name = row["id"]
            if facts.lives[name][-1]["target"] != "enqueued":
                wrong.append(f"{name} is left {facts.lives[name][-1]['target']}")
            field = row["refresh_token_encrypted"]
            stored = CIPHER.open(field, connection_id=name, column="refresh_token_encrypted")
            if stored != self.providers.newest(f"rt-{name}"):
                wrong.append(f"{name} has lost its newest refresh token")
        return wrong

    def _overspent(self, facts: Facts) -> list[str]:
        """Return for whom a token was sent again though its answer was clear, and nobody doubted.

        A process that could not be sure of an answer (it came too late) says so in the log.
        """
        unclear = Counter(r.token for r in self.providers.requests if self._is_unclear(r))
        uses = Counter(request.token for request in self.providers.requests)
        extra: Counter[str] = Counter()
        for name, tokens in self._owners().items():
            extra[name] = sum(max(0, uses[token] - 1 - unclear[token]) for token in tokens)
        return [
            f"{name}: {number} tokens were sent again without a reason"
            for name, number in extra.items()
            if number > doubts(facts.lives[name])
        ]

    def _is_unclear(self, request: Request) -> bool:
        return request.process in self.weather.harmed or not request.answered

    def _owners(self) -> Mapping[str, set[str]]:
        """Return the refresh tokens of those whose tokens rotate; others' are meant to be used."""
        owners: dict[str, set[str]] = defaultdict(set)
        for name in CONNECTIONS:
            token = f"rt-{name}"
            while name.startswith("tiktok") and token in self.providers.renewed:
                owners[name].add(token)
                token = self.providers.renewed[token]
        return owners


def doubts(life: Sequence[Row]) -> int:
    """Return how often the log says that an answer may have been lost, but for dead leases."""
    released = [row["transition"] for row in life].count("refresh_released")
    return reasons(life) - released


async def storm(warm: Warm, room: Path, seconds: float, seed: int) -> Weather:
    """Let a storm rage for so long, and return what happened."""
    providers = Watching()
    async with providers.serving(), stage(warm, room, SETTINGS) as place:
        await place.done("migrate")
        place.add(*CONNECTIONS)
        return await Storm(place, providers, seed).run(seconds)
