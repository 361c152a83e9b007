"""A worker that was frozen and goes on: what was its to do may have become another's."""

import pytest

from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_engine.policy import HOUR_MS, MINUTE_MS
from clearlift_engine.ports import Refused
from clearlift_engine.refresh import LAST_SEND_MS
from tests.given import DUE, NOW_MS, commit, started, take
from tests.watched import once
from tests.worker import Worker

SILENT = Refused("transient", "no answer", ambiguous=True)


async def frozen_with_a_request_under_way(worker: Worker, ms: int) -> None:
    """Tick; the process stands still for so long before it sees that there was no answer."""
    worker.expiring("c", platform="tiktok")
    worker.refresher.script("c", SILENT)

    async def freeze() -> None:
        worker.clock.now_ms += ms

    worker.watch = once("refresher.refresh", "after", freeze)
    await worker.tick()


async def test_request_is_not_sent_again_when_another_may_have_sent_its_token(
    worker: Worker,
) -> None:
    await frozen_with_a_request_under_way(worker, MINUTE_MS)

    assert worker.asked() == ["c"]
    assert [said["attempts"] for said in worker.heard("not refreshed")] == [1]


async def test_request_is_sent_again_while_its_lease_holds(worker: Worker) -> None:
    await frozen_with_a_request_under_way(worker, LAST_SEND_MS // 2)

    assert worker.asked() == ["c", "c"]


@pytest.mark.parametrize("sent", ["old", None])
async def test_tokens_that_come_home_leave_the_live_claim_of_another_worker_alone(
    worker: Worker, sent: str | None
) -> None:
    worker.expiring("c", platform="tiktok")
    [stored] = await worker.world.vault.credentials(["c"])
    replaced = StoredCredentials("c", sent, sent) if sent else stored
    assert isinstance(replaced, StoredCredentials)
    await worker.rescue.keep(StoredTokens(replaced, "a", "r", NOW_MS + HOUR_MS, rotated=True))
    claim = started(lease_until=NOW_MS + 1, credentials=stored.fingerprint)
    await take(worker.world.store, commit("c", DUE, claim))

    await worker.tick()

    assert worker.life("c") == ["fell_due", "refresh_started"]
    assert worker.asked() == []
    assert worker.connection("c")["credentials_encrypted"] == ("access of c" if sent else "a")
