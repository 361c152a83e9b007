"""The worker, its users, its providers, its consumer and its clock, in whatever order they act."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from clearlift_adapters.memory_refresher import INVALID_GRANT, Answer, Lost
from clearlift_adapters.queues.inbox import Delivery, Inbox
from clearlift_engine import operators
from clearlift_engine.policy import DAY_MS, HOUR_MS, MINUTE_MS, iso
from clearlift_engine.ports import Refreshed, Refused, SealedCredentials, Store
from clearlift_engine.replay import fold, replay
from tests.given import NOW_MS, SCHEDULE
from tests.seed import Row
from tests.stateful import promises
from tests.worker import PROVIDERS, Providers, Worker
from tests.world import World

T = TypeVar("T")
# Opens one database for two, as two processes do.
OpenDoors = Callable[[], AbstractAsyncContextManager[tuple[World, World]]]

SECOND_MS: Final = 1000
LEAPS_MS: Final = (
    *(SECOND_MS, MINUTE_MS, 15 * MINUTE_MS, HOUR_MS + SECOND_MS, 6 * HOUR_MS, 5 * DAY_MS),
    *(400 * DAY_MS, -SECOND_MS, -HOUR_MS, -DAY_MS, -400 * DAY_MS),
)
ANSWERS: Final[dict[str, Answer]] = {
    "no": INVALID_GRANT,
    "down": Refused("transient", "is failing", code="http_500", ambiguous=True),
    "not so fast": Refused("throttled", "asks for fewer requests", retry_after_ms=HOUR_MS),
    "a misconfigured client": Refused("configuration", "does not know us"),
    "an answer that is lost": Lost(),
}
PLATFORMS: Final = ("stripe", "google", "tiktok")
SOON: Final = iso(NOW_MS + MINUTE_MS)
USES_MAX: Final = 2  # Of a token, by one claim.
VISIBILITY_MS: Final = 30 * SECOND_MS

connections: Final[Bundle[str]] = Bundle("connections")


class Tokens(Providers):
    """Providers that hold against the worker how often it uses a token that is good for one use.

    A claim may ask once more, if nobody can know what became of its first request; once there are
    new tokens, the old one must never be seen again.
    """

    def __init__(self, worker: Worker) -> None:
        super().__init__(PROVIDERS, worker.clock)
        self._seed = worker.seed
        self._used_up = set[object]()
        self._in_doubt: dict[object, int] = {}  # How often, for a token and a claim.

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        answer = await super().refresh(platform, credentials)
        if platform == "tiktok":
            token = self.calls[-1].token
            assert token not in self._used_up, f"{token!r} was used once too often"
            claim = token, self._claims(credentials.connection_id)
            assert self._in_doubt.get(claim, 0) < USES_MAX, f"{token!r} was used by one too often"
            if isinstance(answer, Refreshed):
                self._used_up.add(token)
            else:
                uses = self._in_doubt.get(claim, 0) + 1
                self._in_doubt[claim] = uses if answer.ambiguous else USES_MAX
        return answer

    def _claims(self, connection_id: str) -> int:
        rows = [row for row in self._seed.rows("outbox") if row["connection_id"] == connection_id]
        return sum(row["transition"] == "refresh_started" for row in rows)


class Commands(RuleBasedStateMachine):
    """One installation; after every step its tables must make sense."""

    def __init__(self, open_doors: OpenDoors) -> None:
        super().__init__()
        self._runner, self._stack = asyncio.Runner(), AsyncExitStack()
        door, another = self._run(self._stack.enter_async_context(open_doors()))
        self.worker = Worker(door)
        self.worker.refresher = Tokens(self.worker)
        self.rival = self.worker.beside(another)
        self.seed, self.clock = self.worker.seed, self.worker.clock
        self.intervals_ms: dict[str, int] = {}
        self.reconnected = set[str]()
        self.held: list[Delivery] = []
        self.acknowledged = set[str]()
        self._names = 0

    def teardown(self) -> None:
        self._run(self._stack.aclose())
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    # What the API worker does.

    @initialize(target=connections)
    def connect_one_of_each(self) -> Any:  # noqa: ANN401  Hypothesis has no type for several
        return multiple(*(self._connect(platform, SOON, None) for platform in PLATFORMS))

    @rule(
        target=connections,
        platform=st.sampled_from(PLATFORMS),
        expires=st.sampled_from((None, SOON, iso(NOW_MS + DAY_MS), "odd")),
        synced=st.sampled_from((None, "", iso(NOW_MS - 2 * HOUR_MS), "2026-10-10 11:30:00")),
    )
    def connect(self, platform: str, expires: str | None, synced: str | None) -> str:
        return self._connect(platform, expires, synced)

    def _connect(self, platform: str, expires: str | None, synced: str | None) -> str:
        self._names += 1
        name = f"c{self._names}"
        columns = {"platform": platform, "expires_at": expires, "last_synced_at": synced}
        self.seed.add_connection(name, organization_id=f"org {self._names % 2}", **columns)
        return name

    @rule(name=connections)
    def reconnect(self, name: str) -> None:
        self.connect_anew(name)

    def connect_anew(self, name: str) -> None:
        self._names += 1
        self.reconnected.add(name)
        new = {"refresh_token_encrypted": f"refresh by hand {self._names}"}
        self.seed.update_connection(name, **new, credentials_encrypted=f"by hand {self._names}")

    @rule(name=consumes(connections))
    def disconnect(self, name: str) -> None:
        self.take_away(name)

    def take_away(self, name: str) -> None:
        self.seed.delete_connection(name)

    @rule(name=connections, is_active=st.sampled_from((0, 1, 1)))
    def switch(self, name: str, is_active: int) -> None:
        self.seed.update_connection(name, is_active=is_active)

    @rule(name=connections, seconds=st.sampled_from((600, 7200)))
    def set_interval(self, name: str, seconds: int) -> None:
        if name not in self.intervals_ms:
            self.seed.set_interval(name, seconds)
            self.intervals_ms[name] = seconds * SECOND_MS

    # What a provider does, and time.

    @rule(name=connections, answer=st.sampled_from(sorted(ANSWERS)))
    def provider_will_answer(self, name: str, answer: str) -> None:
        self.worker.refresher.script(name, ANSWERS[answer])

    @rule(leap_ms=st.sampled_from(LEAPS_MS))
    def time_passes_or_goes_back(self, leap_ms: int) -> None:
        self.clock.now_ms = max(self.clock.now_ms + leap_ms, NOW_MS - 800 * DAY_MS)

    # What cron and operators do.

    @rule()
    def tick(self) -> None:
        expected = {name: self._expects(name) for name in self._of("stripe")}
        before, lives = self.jobs(), promises.lives(self.seed)
        began_ms = self.clock.now_ms
        self._run(self.worker.tick())
        after = self.jobs()
        made = {job_id: row for job_id, row in after.items() if job_id not in before}
        owners = [row["connection_id"] for row in made.values()]
        assert len(owners) == len(set(owners)), "two jobs for one connection in one tick"
        for name, wanted in expected.items():
            assert wanted is None or (name in owners) == wanted, f"{name}: {wanted}"
        self._hold_against(lives, began_ms)
        for owner in owners:
            older = [row for row in before.values() if row["connection_id"] == owner]
            ages = [began_ms - promises.opened_at(row) for row in older if promises.is_open(row)]
            assert all(age >= promises.JOB_LIMIT_MS - promises.NEARLY_MS for age in ages)

    def _hold_against(self, before: Mapping[str, promises.Life], began_ms: int) -> None:
        """See that nobody was tried who had failed and whose time had not come."""
        for name, life in promises.lives(self.seed).items():
            was = before.get(name)
            if was is not None and was.version < life.version:
                reconnected = name in self.reconnected
                assert promises.may_be_tried(was, began_ms, reconnected=reconnected), name
                self.reconnected.discard(name)

    @rule(leap_ms=st.sampled_from(LEAPS_MS[:5]))
    def an_ordinary_while_passes(self, leap_ms: int) -> None:
        self.clock.now_ms += leap_ms
        self.tick()
        self.relay()

    @rule()
    def relay(self) -> None:
        before = promises.lives(self.seed)
        self._run(self.worker.relay())
        queued = {row["job_id"] for row in self.seed.rows("queue_messages")}
        for name, life in promises.lives(self.seed).items():
            assert life.state != "job_created", "something waits though the relay is done"
            assert before[name].state == life.state or life.created[-1] in queued

    @rule(name=connections, word=st.sampled_from(("pause", "resume", "retry")))
    def operator_says(self, name: str, word: str) -> None:
        self._run(self.says(word, self.worker.world.store, name))

    async def says(self, word: str, store: Store, name: str) -> None:
        at_ms = self.clock.now_ms
        if word == "retry":
            said = await operators.retry(
                store, name, schedule=SCHEDULE, reason=None, by="ann", at_ms=at_ms, run_id="r"
            )
        else:
            speak = operators.pause if word == "pause" else operators.resume
            said = await speak(store, name, reason="why", by="ann", at_ms=at_ms, run_id="r")
        assert said is not None

    @rule()
    def rebuild(self) -> None:
        before = self.seed.rows("connection_state")
        self._run(self.worker.world.archive.rebuild(fold))
        assert self.seed.rows("connection_state") == before

    # What the consumer does.

    @rule()
    def consumer_takes(self) -> None:
        self._run(self.takes(self.worker.world.inbox))

    async def takes(self, inbox: Inbox) -> None:
        now_ms = self.clock.now_ms
        for delivery in await inbox.pull(2, visibility_ms=VISIBILITY_MS, now_ms=now_ms):
            if self.jobs()[delivery.job_id]["status"] == "pending":
                started_at = iso(now_ms)
                self.seed.update_job(delivery.job_id, status="running", started_at=started_at)
                self.held.append(delivery)
            else:
                await self._acknowledge(delivery)

    @rule()
    def consumer_does_all(self) -> None:
        self.consumer_takes()
        while self.held:
            self.consumer_ends("completed")

    @rule(ends=st.sampled_from(("completed", "completed", "failed", "dies")))
    def consumer_ends(self, ends: str) -> None:
        if not self.held:
            return
        delivery = self.held.pop(0)
        if ends == "dies":
            return
        message = json.loads(delivery.body)
        self.seed.update_job(delivery.job_id, status=ends, completed_at=iso(self.clock.now_ms))
        if ends == "completed" and message["connection_id"] in self._of():
            synced = {"last_synced_at": message["sync_window"]["end"], "sync_status": "completed"}
            self.seed.update_connection(message["connection_id"], **synced)
        self._run(self._acknowledge(delivery))

    async def _acknowledge(self, delivery: Delivery) -> None:
        if await self.worker.world.inbox.ack([delivery.lease_id]):
            self.acknowledged.add(delivery.job_id)

    # What must hold.

    @invariant()
    def tables_make_sense(self) -> None:
        promises.check(self.seed, self.acknowledged)

    @invariant()
    def replay_finds_nothing(self) -> None:
        assert self._run(replay(self.worker.world.archive)).violations == []

    def jobs(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.seed.rows("sync_jobs")}

    def _of(self, *platforms: str) -> dict[str, Row]:
        rows = self.seed.rows("platform_connections")
        return {row["id"]: row for row in rows if not platforms or row["platform"] in platforms}

    def _expects(self, name: str) -> bool | None:
        jobs = [row for row in self.jobs().values() if row["connection_id"] == name]
        interval_ms = self.intervals_ms.get(name, HOUR_MS)
        life = promises.lives(self.seed).get(name)
        connection = self._of()[name]
        return promises.should_get_a_job(connection, jobs, life, interval_ms, self.clock.now_ms)
