"""News in Slack: each alert fires and ends once, each dead grant is told once, all is escaped."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest

from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.stores.memory import MemoryDatabase, MemoryLeases, MemoryNotices
from clearlift_adapters.telling.courier import Courier
from clearlift_adapters.telling.news import GRANTS_NAMED, LEASE, tell_news, text_of
from clearlift_adapters.telling.posts import of_text
from clearlift_engine.alerts import AlertName, firing
from clearlift_engine.notices import Changes, DeadGrant
from clearlift_engine.overview import Overview
from tests.given import NOW_MS
from tests.loopback import Behaviour, Loopback, Visit, answer, loopback
from tests.unit.test_alerts import BELOW_AND_ABOVE, QUIET

OK = answer(200, b"ok")


async def slack(visit: Visit) -> None:
    """Answer as an incoming webhook does: to JSON with a text, and to nothing else."""
    content = msgspec.json.decode(visit.body, type=dict[str, str])
    good = (visit.method, visit.headers["content-type"]) == ("POST", "application/json")
    await (OK if good and set(content) == {"text"} else answer(400, b"invalid_payload"))(visit)


@dataclass
class Channel:
    """Ticks over one database, and what Slack hears of them."""

    server: Loopback
    courier: Courier
    db: MemoryDatabase = field(default_factory=MemoryDatabase)

    async def tick(self, seen: Overview) -> None:
        notices, leases = MemoryNotices(self.db), MemoryLeases(self.db)
        await tell_news(seen, notices, leases, self._say, run_id="r")

    async def _say(self, text: str) -> bool:
        sent = self.courier.send(of_text(Endpoint(self.server.url, "SLACK"), text))
        return not await self.courier.answers({"SLACK": [sent]})

    @property
    def heard(self) -> list[str]:
        return [msgspec.json.decode(visit.body)["text"] for visit in self.server.visits]


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    async with loopback(slack) as server, Courier() as courier:
        yield Channel(server, courier)


@pytest.mark.parametrize("name", sorted(BELOW_AND_ABOVE))
async def test_alert_is_said_when_it_fires_and_when_it_ends_and_not_between(
    name: AlertName, channel: Channel
) -> None:
    below, above = (msgspec.structs.replace(QUIET, **facts) for facts in BELOW_AND_ABOVE[name])
    [alert] = firing(above)

    said: list[int] = []
    for seen in (below, above, above, below, below):
        await channel.tick(seen)
        said.append(len(channel.heard))

    assert said == [0, 1, 1, 2, 2]
    fired, ended = channel.heard
    assert fired.splitlines()[1:] == [
        f":rotating_light: *{name}*: {alert.sentence}",
        f"&gt; {alert.next_step} (docs/recover.md#{name})".replace("&gt;", ">", 1),
    ]
    assert f":white_check_mark: *{name}* has ended: " in ended


async def test_queue_that_does_not_answer_ends_no_alert(channel: Channel) -> None:
    _, above = BELOW_AND_ABOVE["queue_depth"]
    await channel.tick(msgspec.structs.replace(QUIET, **above))

    await channel.tick(msgspec.structs.replace(QUIET, queue=None))

    assert len(channel.heard) == 1


@pytest.mark.parametrize("refusal", [answer(404, b"no_service"), answer(302), answer(500)])
async def test_what_slack_did_not_take_is_said_again(refusal: Behaviour) -> None:
    _, above = BELOW_AND_ABOVE["error_rate"]
    seen = msgspec.structs.replace(QUIET, **above)
    async with loopback(refusal) as server, Courier() as courier:
        channel = Channel(server, courier)

        await channel.tick(seen)
        await channel.tick(seen)

        assert len(channel.heard) == 2
        assert channel.db.notices == {}


async def test_only_one_of_two_ticks_says_it(channel: Channel) -> None:
    _, above = BELOW_AND_ABOVE["error_rate"]
    seen = msgspec.structs.replace(QUIET, **above)
    await MemoryLeases(channel.db).hold(LEASE, "other", now_ms=NOW_MS, until_ms=NOW_MS + 1)

    await channel.tick(seen)
    await channel.tick(msgspec.structs.replace(seen, at=NOW_MS + 1))

    assert len(channel.heard) == 1


def test_dead_grants_are_named_up_to_a_number() -> None:
    grants = [DeadGrant(f"c{number}", "google", "f") for number in range(GRANTS_NAMED + 3)]

    lines = text_of(Changes(grants=grants)).splitlines()

    assert lines[1].endswith("its user must connect again: `clearlift-cron explain c0`")
    assert len(lines) == 1 + GRANTS_NAMED + 1
    assert "and 3 more" in lines[-1]


def test_what_customers_can_choose_is_neither_a_mention_nor_a_link() -> None:
    grant = DeadGrant("`<!channel>` & co\nx", "<https://evil.example|click>", "f")

    text = text_of(Changes(grants=[grant]))

    assert text.count("`") == len("``"), "an id ends what is set as code"
    assert "<" not in text
    assert "&lt;!channel&gt;" in text
    assert len(text.splitlines()) == 2


async def test_slow_slack_costs_no_more_than_the_courier_waits() -> None:
    never = asyncio.Event()

    async def slow(visit: Visit) -> None:
        await never.wait()

    _, above = BELOW_AND_ABOVE["error_rate"]
    async with loopback(slow) as server, Courier(within_s=0.05) as courier:
        channel = Channel(server, courier)
        await channel.tick(msgspec.structs.replace(QUIET, **above))

        assert channel.db.notices == {}
        never.set()
