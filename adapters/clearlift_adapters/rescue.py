"""New tokens that the database could not take, in files of their own until it can.

A rotated refresh token exists once: at the provider the old one is dead already. So when the
database stays away after an answer, the encrypted answer goes to disk: written, synced and renamed,
so that a file is whole or not there, and readable by its owner alone. The next tick brings it home
first thing.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_adapters.durable import sync_folder
from clearlift_engine.errors import UnavailableError
from clearlift_engine.ports import SealedTokens
from clearlift_engine.run import Note

_SUFFIX: Final = ".tokens.json"


def _silent(level: str, event: str, **fields: object) -> None:
    del level, event, fields


class _Blob(msgspec.Struct, frozen=True):
    """A column that holds bytes; in JSON they are base64, and not to be mistaken for text."""

    blob: bytes


class _Kept(msgspec.Struct, frozen=True):
    """What a file holds: ciphertexts, and what they are to replace."""

    connection_id: str
    old_access: str | _Blob | None
    old_refresh: str | _Blob | None
    access: str
    refresh: str | None
    expires_at: int | None
    rotated: bool
    access_seal: str | None = None  # Files of an older version have none.
    refresh_seal: str | None = None


class FileRescue:
    """The port Rescue, on a folder that is made when it is first needed."""

    def __init__(self, folder: Path, note: Note = _silent) -> None:
        self._folder, self._note = folder, note

    async def keep(self, tokens: SealedTokens) -> None:
        assert isinstance(tokens, StoredTokens), "only sealed tokens are ever written"
        if any(self._folder.glob(f"*-{_name(tokens)}")):
            return
        file = self._folder / f"{time.time_ns():020}-{_name(tokens)}"
        half = file.with_suffix(".half")
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(self._folder.parent)
            _write(half, msgspec.json.encode(_kept(tokens)))
            half.replace(file)
            sync_folder(self._folder)
        except OSError as exc:
            raise UnavailableError(
                f"new tokens of {tokens.connection_id!r} can be stored neither in the database nor "
                f"in {self._folder} ({exc.strerror}): its user may have to reconnect"
            ) from exc

    async def kept(self) -> Sequence[SealedTokens]:
        found: list[SealedTokens] = []
        for file in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                found.append(_tokens(msgspec.json.decode(file.read_bytes(), type=_Kept)))
            except (OSError, msgspec.MsgspecError):
                self._set_aside(file)
        return found

    def _set_aside(self, file: Path) -> None:
        """Leave a file that cannot be read for somebody to look at; others must not wait."""
        with suppress(OSError):
            file.rename(file.with_suffix(".unreadable"))
        self._note("error", "a file with rescued tokens cannot be read", file=str(file))

    async def drop(self, tokens: SealedTokens) -> None:
        assert isinstance(tokens, StoredTokens), "only sealed tokens are ever written"
        for file in self._folder.glob(f"*-{_name(tokens)}"):
            file.unlink(missing_ok=True)


def _name(tokens: StoredTokens) -> str:
    """Return the end of the file's name for these tokens, whatever characters an id may have."""
    digest = sha256(f"{tokens.connection_id}\0{tokens.replaced_fingerprint}".encode())
    return f"{digest.hexdigest()[:32]}{_SUFFIX}"


def _kept(tokens: StoredTokens) -> _Kept:
    old = tokens.replaces
    return _Kept(
        old.connection_id,
        _Blob(old.access) if isinstance(old.access, bytes) else old.access,
        _Blob(old.refresh) if isinstance(old.refresh, bytes) else old.refresh,
        tokens.access,
        tokens.refresh,
        tokens.expires_at,
        tokens.rotated,
        tokens.access_seal,
        tokens.refresh_seal,
    )


def _tokens(kept: _Kept) -> StoredTokens:
    access, refresh = (
        column.blob if isinstance(column, _Blob) else column
        for column in (kept.old_access, kept.old_refresh)
    )
    replaces = StoredCredentials(kept.connection_id, access, refresh)
    return StoredTokens(
        replaces,
        kept.access,
        kept.refresh,
        kept.expires_at,
        kept.rotated,
        access_seal=kept.access_seal,
        refresh_seal=kept.refresh_seal,
    )


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as half:
        half.write(content)
        half.flush()
        os.fsync(half.fileno())
