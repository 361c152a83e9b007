"""Rows of the store's queries, as what they mean to the engine; columns as in store.sql.

Credentials are the exception that the engine carries and never opens: their rows are made here too.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_adapters.credentials import Seal, StoredCredentials, StoredTokens, iv_of
from clearlift_adapters.stores.sql import Row, Value
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import Candidate, iso
from clearlift_engine.ports import Commit, Message, Waiting
from clearlift_engine.stream import Stream

PROJECTED: Final = (
    Stream.__struct_fields__
)  # Columns of connection_state, in the order they are bound.


class _MessageOf(msgspec.Struct):
    message: msgspec.Raw


_MESSAGE_OF: Final = msgspec.json.Decoder(_MessageOf)
_SEALS: Final = msgspec.json.Decoder(tuple[Seal, ...])


def waiting_in(row: Row) -> Waiting:
    """Return a job that waits; one whose message cannot be read says so."""
    *projected, data = row
    stream = Stream(*projected)
    job_id = stream.job_id or ""
    try:
        return Waiting(stream, Message(job_id, bytes(_MESSAGE_OF.decode(data).message)))
    except (msgspec.MsgspecError, UnicodeError) as exc:
        return Waiting(stream, Message(job_id, b""), problem=str(exc))


def gate_in(row: Row) -> Gate:
    """Return a provider's gate; one that cannot be read is as of a provider nobody asked yet.

    Whose it is and its version are those of the columns, by which it is moved: if a damaged text
    had another say, each tick would look again for ever.
    """
    provider, version, text = row
    try:
        gate = msgspec.json.decode(text, type=Gate)
    except (msgspec.MsgspecError, UnicodeError):
        gate = Gate(provider)
    return msgspec.structs.replace(gate, provider=provider, version=version)


def credentials_in(row: Row) -> StoredCredentials:
    """Return the encrypted tokens of a connection, and what tells whether they are its own."""
    connection_id, access, refresh, reencrypted, known_as, *copied, seals = row
    return StoredCredentials(
        connection_id,
        access,
        refresh,
        reencrypted,
        known_as,
        access_copied=bool(copied[0]),
        refresh_copied=bool(copied[1]),
        seals=_SEALS.decode(seals),
    )


def candidate_in(row: Row) -> Candidate:
    """Return what is known of one connection."""
    (
        ref,
        connection_id,
        organization_id,
        platform,
        account_id,
        is_active,
        sync_status,
        last_synced_at,
        has_last_synced,
        expires_at,
        has_expiry,
        connected_at,
        interval_ms,
        job_id,
        job_since,
        access,
        refresh,
        reencrypted,
        known_as,
        *projected,
        scopes_odd,
        moved_at,
    ) = row
    stream = Stream(connection_id, *projected) if projected[0] else Stream(connection_id)
    dead = stream.state == "failed" and stream.retry_at is None
    held = (connection_id, access, refresh, reencrypted, known_as)
    return Candidate(
        connection_id,
        organization_id,
        platform,
        account_id,
        bool(is_active),
        sync_status,
        last_synced_at,
        bool(has_last_synced) and last_synced_at is None,
        expires_at,
        bool(has_expiry) and expires_at is None,
        connected_at,
        interval_ms,
        job_id,
        job_since if job_id is not None else None,
        dead and StoredCredentials(*held).fingerprint != stream.credentials,
        stream,
        bool(scopes_odd),
        ref,
        moved_at,
    )


def tokens_of(commits: Sequence[Commit]) -> list[Sequence[Value]]:
    """Return the rows for `store_tokens`."""
    return [
        (
            tokens.connection_id,
            tokens.access,
            tokens.refresh,
            None if tokens.expires_at is None else iso(tokens.expires_at),
            tokens.replaces.access,
            tokens.replaces.refresh,
            commit.before.hash,
        )
        for commit in commits
        if (tokens := _tokens(commit)) is not None
    ]


def seals_of(commits: Sequence[Commit]) -> list[Sequence[Value]]:
    """Return the rows for `seal_tokens`: of both columns as they will be."""
    return [
        (
            tokens.connection_id,
            iv_of(tokens.access),
            tokens.access_seal,
            None if tokens.refresh_seal is None else iv_of(tokens.refresh_after),
            tokens.refresh_seal,
        )
        for commit in commits
        if (tokens := _tokens(commit)) is not None and tokens.access_seal is not None
    ]


def _tokens(commit: Commit) -> StoredTokens | None:
    tokens = commit.tokens
    assert tokens is None or isinstance(tokens, StoredTokens), "a store takes our own tokens only"
    return tokens
