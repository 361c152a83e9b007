"""The port Rescue in a dict: it survives the crash of a worker that shares it, and nothing else."""

from collections.abc import Sequence

from clearlift_engine.ports import SealedTokens


class MemoryRescue:
    """The port Rescue."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], SealedTokens] = {}

    @property
    def holds(self) -> bool:
        """Return whether there are tokens to bring home."""
        return bool(self._tokens)

    async def keep(self, tokens: SealedTokens) -> None:
        self._tokens[_name(tokens)] = tokens

    async def kept(self) -> Sequence[SealedTokens]:
        return list(self._tokens.values())

    async def drop(self, tokens: SealedTokens) -> None:
        self._tokens.pop(_name(tokens), None)


def _name(tokens: SealedTokens) -> tuple[str, str]:
    return tokens.connection_id, tokens.replaced_fingerprint
