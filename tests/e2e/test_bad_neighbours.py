"""What one row, provider or clock does, the others are served all the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.credentials import StoredCredentials
from clearlift_engine import tick as ticks
from clearlift_engine.events import JobCreated
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import DAY_MS, HOUR_MS, MINUTE_MS, iso
from clearlift_engine.ports import Refreshed, Refused, SealedCredentials
from tests.given import DUE, NOW_MS, ago, commit, failed, job_commit, started, take
from tests.seed import Value
from tests.watched import once
from tests.worker import FACEBOOK, GOOGLE, PROVIDERS, Providers, Worker
from tests.world import WORLDS

LOST_KEY = Refused("permanent", "opens with none of our keys", undecryptable=True, asked=False)
NO_TOKEN = Refused("permanent", "no refresh token stored", asked=False)
IN_2030 = NOW_MS + 4 * 365 * DAY_MS


@pytest.fixture(params=sorted(WORLDS))
async def worker(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path
) -> AsyncIterator[Worker]:
    async with WORLDS[request.param](empty_database, tmp_path) as world:
        yield Worker(world)


class PartlyLocked(Providers):
    """Fields that begin with `lost` are under a key that nobody has any more."""

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        assert isinstance(credentials, StoredCredentials)
        if credentials.refresh is None:
            return NO_TOKEN
        if not _opens(credentials):
            return LOST_KEY
        return await super().refresh(platform, credentials)

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        return any(_opens(each) for each in sample)


def _opens(credentials: SealedCredentials) -> bool:
    assert isinstance(credentials, StoredCredentials)
    fields = (credentials.access, credentials.refresh)
    return any(field is not None and not str(field).startswith("lost") for field in fields)


def limit(worker: Worker, connections: int) -> None:
    worker.settings = msgspec.structs.replace(worker.settings, limit=connections)


def tokens(worker: Worker) -> tuple[object, object]:
    row = worker.connection("c")
    return row["credentials_encrypted"], row["refresh_token_encrypted"]


def tells_of_a_refresh(worker: Worker) -> bool:
    event = worker.last("c")
    return isinstance(event, JobCreated) and event.refresh is not None


@pytest.mark.parametrize("platform", ["google", "tiktok"])
async def test_new_tokens_replace_a_field_that_is_longer_than_any_token(
    worker: Worker, platform: str
) -> None:
    worker.expiring("c", platform=platform, credentials_encrypted="x" * 65_537)

    outcome = await worker.tick()

    assert outcome.report.refreshed == 1
    assert tells_of_a_refresh(worker)
    assert tokens(worker)[0] == "access-1"
    assert worker.connection("c")["expires_at"] == iso(NOW_MS + HOUR_MS)


async def test_no_event_tells_of_tokens_that_are_not_stored(worker: Worker) -> None:
    worker.expiring("c")
    worker.watch = once("refresher.refresh", "after", _writes(worker, refresh="the user's own"))

    outcome = await worker.tick()

    assert tokens(worker) == ("access of c", "the user's own")
    assert (outcome.report.refreshed, outcome.report.jobs_created) == (0, 0)
    assert "job_created" not in worker.life("c")


async def test_new_tokens_are_stored_though_the_access_token_changed_under_way(
    worker: Worker,
) -> None:
    worker.expiring("c", platform="tiktok")
    worker.watch = once("refresher.refresh", "after", _writes(worker, access="written meanwhile"))

    await worker.tick()

    assert tokens(worker) == ("access-1", "refresh-1")
    assert worker.connection("c")["expires_at"] == iso(NOW_MS + HOUR_MS)


def _writes(worker: Worker, **columns: Value) -> Callable[[], Awaitable[None]]:
    names = {"access": "credentials_encrypted", "refresh": "refresh_token_encrypted"}

    async def write() -> None:
        worker.seed.update_connection("c", **{names[name]: columns[name] for name in columns})

    return write


async def test_rows_under_a_lost_key_fail_alone_however_many_they_are(worker: Worker) -> None:
    worker.refresher = PartlyLocked(PROVIDERS, worker.clock)
    for number in range(201):
        fields = dict.fromkeys(("credentials_encrypted", "refresh_token_encrypted"), "lost")
        worker.expiring(f"c{number:03}", **fields)
    worker.expiring("good", expires_at=iso(NOW_MS + 2 * MINUTE_MS))

    outcome = await worker.tick()

    assert outcome.problems == []
    assert (outcome.report.failed, outcome.report.deferred) == (201, 0)
    assert (worker.jobs(), "good" in worker.marked()) == (["good"], False)


async def test_key_is_tried_on_refresh_tokens_where_no_access_token_is_stored(
    worker: Worker,
) -> None:
    worker.refresher = PartlyLocked(PROVIDERS, worker.clock)
    worker.expiring("bad", credentials_encrypted=None, refresh_token_encrypted="lost")
    later = iso(NOW_MS + 2 * MINUTE_MS)
    worker.expiring("good", credentials_encrypted=None, expires_at=later)

    outcome = await worker.tick()

    assert outcome.problems == []
    assert (worker.marked(), worker.jobs()) == (["bad"], ["good"])


async def test_limit_goes_to_whom_a_provider_can_serve(worker: Worker) -> None:
    problem = msgspec.structs.replace(FACEBOOK, problem="set FACEBOOK_APP_ID")
    worker.refresher = Providers((GOOGLE, problem), worker.clock)
    _five_of_facebook(worker)
    worker.expiring("google", organization_id="z", last_synced_at=iso(ago(hours=2)))
    limit(worker, 5)

    outcome = await worker.tick()

    assert (worker.jobs(), worker.marked()) == (["google"], [])
    assert (outcome.report.failed, outcome.problems) == (0, ["set FACEBOOK_APP_ID"])


async def test_limit_goes_past_a_provider_that_asked_for_a_pause(worker: Worker) -> None:
    pause = Refused("throttled", "slow down", retry_after_ms=HOUR_MS)
    worker.refresher.outages["facebook"] = pause
    _five_of_facebook(worker)
    worker.expiring("google", organization_id="z", last_synced_at=iso(ago(hours=2)))
    limit(worker, 5)

    await worker.tick()

    assert (worker.jobs(), worker.marked()) == (["google"], [])


def _five_of_facebook(worker: Worker) -> None:
    """Add what nobody can serve, in organisations of their own and with tokens that are over."""
    for number in range(5):
        worker.expiring(
            f"facebook {number}",
            organization_id=f"org {number}",
            platform="facebook",
            expires_at=iso(ago(minutes=1)),
            refresh_token_encrypted=None,
        )


async def test_more_deferred_than_a_plan_holds_hide_nobody(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "PLAN_MAX", 3)
    worker.refresher.outages["facebook"] = Refused("throttled", "slow", retry_after_ms=HOUR_MS)
    _five_of_facebook(worker)
    for number in range(4):
        name, synced = f"google {number}", iso(ago(hours=2))
        worker.expiring(name, organization_id=f"z {number}", last_synced_at=synced)
        worker.seed.add_connection(f"lasts {number}", last_synced_at=synced)

    await worker.tick()

    expected = [f"{kind} {number}" for kind in ("google", "lasts") for number in range(4)]
    assert sorted(worker.jobs()) == expected


async def test_syncs_in_the_future_use_up_no_limit_and_are_told_of(worker: Worker) -> None:
    for number in range(3):
        worker.seed.add_connection(f"future {number}", last_synced_at=iso(IN_2030))
    worker.seed.add_connection("due", last_synced_at=iso(ago(hours=2)))
    limit(worker, 1)

    await worker.tick()

    assert worker.jobs() == ["due"]
    told = {said["connection_id"] for said in worker.heard("in the future")}
    assert told == {f"future {number}" for number in range(3)}


async def test_a_limit_of_one_goes_to_the_longest_unsynced_though_its_token_ends(
    worker: Worker,
) -> None:
    worker.seed.add_connection("ready", last_synced_at=iso(ago(hours=2)))
    worker.expiring("longest", last_synced_at=iso(ago(hours=9)))
    limit(worker, 1)

    await worker.tick()

    assert (worker.asked(), worker.jobs()) == (["longest"], ["longest"])


async def test_a_clock_that_was_years_ahead_once_keeps_nobody_waiting(worker: Worker) -> None:
    store = worker.world.store
    wrong = Gate("google", version=1, slots=(IN_2030,), paused_until=IN_2030 + HOUR_MS)
    await store.append([], wrong)
    for name in ("claimed", "failed", "new"):
        worker.expiring(name)
    await take(store, commit("claimed", DUE, started(lease_until=IN_2030)))
    await take(store, commit("failed", DUE, failed(retry_at=IN_2030)))

    outcome = await worker.tick()

    assert sorted(worker.asked()) == sorted(worker.jobs()) == ["claimed", "failed", "new"]
    assert (outcome.report.refreshed, worker.clock.now() - NOW_MS < MINUTE_MS) == (3, True)


async def test_connections_that_another_tick_won_are_not_due_in_this_one(worker: Worker) -> None:
    for name in ("ready", "mine"):
        worker.seed.add_connection(name)
    worker.expiring("expiring")

    async def rival_acts() -> None:
        for name in ("ready", "expiring"):
            await take(worker.world.store, job_commit(name, f"their job of {name}"))

    worker.watch = once("store.append", "before", rival_acts)
    outcome = await worker.tick()

    report = outcome.report
    assert (report.due, report.jobs_created, report.failed, report.deferred) == (1, 1, 0, 0)
    assert len(worker.heard("another worker took it")) <= 2


async def test_connection_that_another_tick_won_during_its_claim_is_not_due_in_this_one(
    worker: Worker,
) -> None:
    worker.expiring("c")

    async def rival_acts() -> None:
        await take(worker.world.store, job_commit("c", "their job"))

    worker.watch = once("store.append", "before", rival_acts)
    outcome = await worker.tick()

    assert (outcome.report.due, outcome.report.failed, worker.asked()) == (0, 0, [])


async def test_report_knows_five_classes_of_failure(worker: Worker) -> None:
    worker.seed.add_connection("c", account_id="x" * 200_000)
    worker.expiring("d", platform="nobody declares it", expires_at=iso(ago(minutes=1)))

    outcome = await worker.tick()

    known = {"transient", "throttled", "permanent", "configuration", "suspect"}
    found = {each.connection_id: each.failure_class for each in outcome.report.failures}
    assert set(found) == {"c", "d"}
    assert set(found.values()) <= known
    assert found["c"] == "permanent"


async def test_sends_keep_their_distance_however_slow_preparing_and_committing_are(
    worker: Worker,
) -> None:
    slow = SlowToPrepare(worker.clock)
    worker.refresher = slow
    for number in range(15):
        worker.expiring(f"c{number:02}")
    await worker.tick()

    times = sorted(call.at for call in slow.calls)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    gate = await worker.world.store.gate("google")
    assert (len(times), min(gaps) >= 100) == (15, True)
    assert times[0] >= NOW_MS + slow.PREPARING_MS
    assert gate.slots[-1] <= times[-1]


class SlowToPrepare(Providers):
    """Loading takes its time, once, whenever it is asked for first."""

    PREPARING_MS = 900

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(PROVIDERS, clock)
        self._virtual = clock
        self._prepared = False

    def prepare(self) -> None:
        if not self._prepared:
            self._prepared = True
            self._virtual.now_ms += self.PREPARING_MS

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        self.prepare()  # As the first request does, unless somebody has done it before its slot.
        return await super().refresh(platform, credentials)
