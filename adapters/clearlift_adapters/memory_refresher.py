"""Token endpoints in memory: providers that a test can script, over tokens that nobody encrypted.

A provider that rotates behaves as RFC 9700 section 4.14.2 asks: of each connection only the newest
refresh token is good, and one that was used before is `invalid_grant`, even if the answer to its
use never arrived.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import msgspec

from clearlift_adapters.credentials import Stored, StoredCredentials, StoredTokens
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import (
    Clock,
    Provider,
    Refreshed,
    Refused,
    SealedCredentials,
    SealedTokens,
)


class Lost(msgspec.Struct, frozen=True):
    """The provider acts on the request, and its answer does not arrive."""


class Call(msgspec.Struct, frozen=True):
    """One request that reached a provider."""

    at: int
    platform: str
    connection_id: str
    token: Stored  # What was sent: the refresh token, or the access token where there is none.


Answer = Refused | Lost
INVALID_GRANT: Final = Refused("permanent", "invalid_grant", code="invalid_grant")


class MemoryRefresher:
    """The port TokenRefresher. Without a script, every refresh succeeds."""

    def __init__(
        self, providers: Sequence[Provider], clock: Clock, *, lifetime_ms: int | None = HOUR_MS
    ) -> None:
        self.calls: list[Call] = []
        self.latency_ms = 0
        self.key_is_right = True
        self._providers = {provider.name: provider for provider in providers}
        self._clock = clock
        self._lifetime_ms = lifetime_ms
        self._scripts: dict[str, deque[Answer]] = {}
        self._spent: set[str | bytes] = set()
        self._numbers = count(1)

    @property
    def providers(self) -> Mapping[str, Provider]:
        return self._providers

    def script(self, connection_id: str, *answers: Answer) -> None:
        """Say how the next requests for one connection end; those after them succeed again."""
        self._scripts.setdefault(connection_id, deque()).extend(answers)

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        assert isinstance(credentials, StoredCredentials), "credentials come from our own stores"
        if not self.key_is_right:
            return Refused("permanent", "cannot decrypt", undecryptable=True, asked=False)
        token = credentials.refresh or credentials.access
        self.calls.append(Call(self._clock.now(), platform, credentials.connection_id, token))
        if self.latency_ms:
            await self._clock.sleep(self.latency_ms)
        script = self._scripts.get(credentials.connection_id)
        answer = script.popleft() if script else None
        if isinstance(answer, Refused):
            return answer
        if token is None or token in self._spent:
            return INVALID_GRANT
        tokens = self._issue(self._providers[platform], credentials, token)
        if isinstance(answer, Lost):
            return Refused("transient", "no answer", ambiguous=True, latency_ms=self.latency_ms)
        return Refreshed(tokens, self.latency_ms)

    def rebase(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        assert isinstance(tokens, StoredTokens), "tokens come from this refresher"
        assert isinstance(stored, StoredCredentials), "credentials come from our own stores"
        sent = tokens.replaces.refresh or tokens.replaces.access
        if platform not in self._providers or (stored.refresh or stored.access) != sent:
            return None
        return msgspec.structs.replace(tokens, replaces=stored)

    def prepare(self) -> None:
        pass

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        return self.key_is_right and len(sample) > 0

    def _issue(
        self, provider: Provider, credentials: StoredCredentials, token: str | bytes
    ) -> StoredTokens:
        number = next(self._numbers)
        rotates = provider.rotates and credentials.refresh is not None
        if rotates:
            self._spent.add(token)
        expires = None if self._lifetime_ms is None else self._clock.now() + self._lifetime_ms
        return StoredTokens(
            replaces=credentials,
            access=f"access-{number}",
            refresh=f"refresh-{number}" if rotates else None,
            expires_at=expires,
            rotated=rotates,
        )
