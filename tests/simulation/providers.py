"""The providers, with a ledger of every request: they rotate, throttle, lie and stall.

They know who owns which token, and what was really done, whatever they say about it. That is what
the checker compares the database with.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from clearlift_adapters.credentials import Stored, StoredCredentials, StoredTokens
from clearlift_engine.pacing import Rate
from clearlift_engine.ports import (
    Clock,
    Provider,
    Refreshed,
    Refused,
    SealedCredentials,
    SealedTokens,
)
from tests.simulation.life import Life
from tests.simulation.mix import within
from tests.simulation.scope import MINUTE_MS
from tests.simulation.world import World

DEADLINE_MS: Final = 10_000  # After which a request counts as lost, as over HTTP.
GRACE_MS: Final = 2 * MINUTE_MS
ROTATING: Final = ("tiktok",)

Fate = Literal["well", "lost", "stalled", "late", "down", "throttled", "lie", "confused"]
FATES: Final[tuple[Fate, ...]] = (
    *("lost", "lost", "stalled", "late", "late", "down", "down"),
    *("throttled", "throttled", "lie", "confused"),
)
INVALID_GRANT: Final = Refused("permanent", "invalid_grant", code="invalid_grant")
SILENCE: Final = Refused("transient", "no answer", ambiguous=True)


class Grant(msgspec.Struct):
    """What a user allowed once: of all its refresh tokens only the newest is good."""

    connection_id: str
    tokens: list[str]
    dead: bool = False
    lied_about: bool = False  # Called dead, and was not.
    rotated_at: int = 0


class Request(msgspec.Struct):
    """One request as it really was."""

    at: int
    platform: str
    grant: Grant
    token: str
    life: Life
    trouble: int  # Of its process, when it left.
    zombie: bool  # Its process froze when it had decided to send, and sent it all the same.
    ended_at: int | None = None
    told: bool = False  # The worker got a clear answer.
    judged: bool = False  # The provider looked at the token.
    issued: str | None = None
    pause_ms: int | None = None  # For which the provider asked to be left alone.

    @property
    def unknown(self) -> bool:
        """Return whether the worker may not know, or may not have recorded, how it ended."""
        return not self.told or self.zombie or self.life.trouble > self.trouble


class Providers:
    """All token endpoints, and the users' grants."""

    def __init__(self, world: World) -> None:
        self._world, mix = world, world.mix
        self.requests: list[Request] = []
        self.grants: dict[str, Grant] = {}  # By each of its tokens.
        self.seen: Mapping[str, Provider] = {
            "google": Provider("google", Rate(1, mix.google_ms)),
            "tiktok": Provider("tiktok", Rate(1, mix.google_ms), rotates=True),
            "facebook": Provider("facebook", Rate(*mix.facebook)),
            "stripe": Provider("stripe", None),
        }

    def grant(self, connection_id: str) -> str:
        """Return the first token of a new grant, as a user gets it who connects an account."""
        token = f"tok-{connection_id}-{self._world.new_id()}"
        self.grants[token] = Grant(connection_id, [token])
        return token

    async def ask(
        self, life: Life, clock: Clock, platform: str, sent: StoredCredentials
    ) -> Refreshed | Refused:
        """Answer one request, or do not."""
        token = sent_token(platform, sent)
        if not isinstance(token, str):
            return Refused("permanent", "no refresh token stored", asked=False)
        world, asked_at = self._world, clock.now()
        grant = self.grants[token]
        zombie = asyncio.current_task() in life.zombies
        request = Request(world.now_ms, platform, grant, token, life, life.trouble, zombie)
        self.requests.append(request)
        fate = self._fate()
        world.note(platform, f"asked for {grant.connection_id}: {fate}")
        try:
            return await self._answer(request, fate, sent, asked_at)
        finally:
            request.ended_at = world.now_ms

    def _fate(self) -> Fate:
        world, mix = self._world, self._world.mix
        if world.calm:
            return "well"
        if within(mix.blackouts, world.now_ms):
            return world.random.choice(("stalled", "down", "lost"))
        if world.random.random() < mix.provider_faults:
            return world.random.choice(FATES)
        return "well"

    async def _answer(
        self, request: Request, fate: Fate, sent: StoredCredentials, asked_at: int
    ) -> Refreshed | Refused:
        random, latency_ms = self._world.random, self._world.mix.latency_ms
        pause = self._world.loop.pause
        await pause(random.randint(1, latency_ms))
        match fate:
            case "lost" | "stalled":
                if fate == "lost":
                    self._exchange(request)
                await pause(DEADLINE_MS)
                return SILENCE
            case "late":  # It is on its way while the worker has given up on it.
                self._world.loop.call_in(
                    random.randint(1, 2 * DEADLINE_MS), lambda: self._exchange(request)
                )
                await pause(random.randint(1, DEADLINE_MS))
                return SILENCE
            case "well":
                issued = self._exchange(request)
                await pause(random.randint(1, latency_ms))
                request.told = True
                return INVALID_GRANT if issued is None else self._tokens(sent, issued, asked_at)
            case _:
                request.told = True
                return self._excuse(request, fate)

    def _excuse(self, request: Request, fate: Fate) -> Refused:
        match fate:
            case "down":
                return Refused("transient", "connection refused")
            case "throttled":
                request.pause_ms = self._world.random.choice(
                    (None, 5_000, 20 * MINUTE_MS, 20 * MINUTE_MS)
                )
                return Refused("throttled", "slow down", retry_after_ms=request.pause_ms)
            case "confused":
                return Refused("configuration", "invalid_client", code="invalid_client")
            case _:
                request.grant.lied_about = True
                return INVALID_GRANT

    def _exchange(self, request: Request) -> str | None:
        """Do what was asked: return the token that is good from now on, or None."""
        grant, mix = request.grant, self._world.mix
        request.judged = True
        if grant.dead:
            return None
        if request.platform not in ROTATING:
            return self._renewed(request)
        if request.token == grant.tokens[-1]:
            request.issued = f"tok-{grant.connection_id}-{self._world.new_id()}"
            grant.tokens.append(request.issued)
            grant.rotated_at = self._world.now_ms
            self.grants[request.issued] = grant
            return request.issued
        if mix.reuse == "revoke":
            grant.dead = True
        if mix.reuse == "grace" and self._world.now_ms - grant.rotated_at < GRACE_MS:
            request.issued = grant.tokens[-1]
        return request.issued

    def _renewed(self, request: Request) -> str:
        """Return a new access token beside the old one; for Facebook it is the grant itself."""
        token = f"tok-{request.grant.connection_id}-{self._world.new_id()}"
        self.grants[token] = request.grant
        return token

    def _tokens(self, sent: StoredCredentials, issued: str, asked_at: int) -> Refreshed:
        rotated = issued in self.grants[issued].tokens
        tokens = StoredTokens(
            replaces=sent,
            access=f"tok-of-{issued}" if rotated else issued,
            refresh=issued if rotated else None,
            expires_at=asked_at + self._world.mix.lifetime_ms,
            rotated=rotated,
        )
        return Refreshed(tokens, latency_ms=1)


class Refresher:
    """The port TokenRefresher of one process."""

    def __init__(self, providers: Providers, life: Life, clock: Clock) -> None:
        self._providers, self._life, self._clock = providers, life, clock

    @property
    def providers(self) -> Mapping[str, Provider]:
        return self._providers.seen

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        assert isinstance(credentials, StoredCredentials), "credentials come from our own stores"
        return await self._providers.ask(self._life, self._clock, platform, credentials)

    def rebase(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        assert isinstance(tokens, StoredTokens), "tokens come from this refresher"
        assert isinstance(stored, StoredCredentials), "credentials come from our own stores"
        if sent_token(platform, tokens.replaces) != sent_token(platform, stored):
            return None
        return msgspec.structs.replace(tokens, replaces=stored)

    def prepare(self) -> None:
        """Load nothing."""

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        return len(sample) > 0


def sent_token(platform: str, stored: StoredCredentials) -> Stored:
    """Return what is sent to a provider: Facebook has no refresh tokens."""
    return stored.access if platform == "facebook" else stored.refresh
