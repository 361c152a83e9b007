"""What each incident of the story does to the others; the worker has to find out by itself."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from clearlift_adapters.demo.stage import Stage
from clearlift_adapters.demo.story import NEWCOMERS, THROTTLED_MINUTES, Happening


async def happen(stage: Stage, happening: Happening) -> None:
    """Let one of them happen now."""
    await _DEEDS[happening](stage)


async def _facebook_throttles(stage: Stage) -> None:
    stage.providers.throttle("facebook", THROTTLED_MINUTES)


async def _tiktok_answer_lost(stage: Stage) -> None:
    for member in stage.api_worker.named("lost_answer"):
        stage.providers.lose_answer(member.platform, member.account_id)


async def _consent_withdrawn(stage: Stage) -> None:
    for member in stage.api_worker.named("example", "revoked", "left"):
        stage.providers.revoke(member.platform, member.account_id)


async def _google_down(stage: Stage) -> None:
    stage.providers.fail("google")


async def _google_up(stage: Stage) -> None:
    stage.providers.recover("google")


async def _reconnected(stage: Stage) -> None:
    returning = stage.api_worker.named("example", "revoked", "lost_answer")
    await stage.api_worker.reconnect(returning, stage.clock.now())


async def _consumer_dies(stage: Stage) -> None:
    stage.consumer.die()


async def _consumer_back(stage: Stage) -> None:
    await stage.consumer.come_back(stage.clock.now())


async def _newcomers(stage: Stage) -> None:
    await stage.api_worker.connect(NEWCOMERS, stage.clock.now())


async def _deactivated(stage: Stage) -> None:
    await stage.api_worker.deactivate(stage.api_worker.named("leaving"))


_DEEDS: Final[Mapping[Happening, Callable[[Stage], Awaitable[None]]]] = {
    "facebook_throttles": _facebook_throttles,
    "tiktok_answer_lost": _tiktok_answer_lost,
    "consent_withdrawn": _consent_withdrawn,
    "google_down": _google_down,
    "google_up": _google_up,
    "reconnected": _reconnected,
    "consumer_dies": _consumer_dies,
    "consumer_back": _consumer_back,
    "newcomers": _newcomers,
    "deactivated": _deactivated,
}
