"""Rows of the store's queries, as what they mean to the engine; columns as in store.sql."""

from typing import Final

import msgspec

from clearlift_adapters.credentials import StoredCredentials
from clearlift_adapters.stores.sql import Row
from clearlift_engine.policy import Candidate
from clearlift_engine.ports import Message, Waiting
from clearlift_engine.stream import Stream


class _MessageOf(msgspec.Struct):
    message: msgspec.Raw


_MESSAGE_OF: Final = msgspec.json.Decoder(_MessageOf)


def waiting_in(row: Row) -> Waiting:
    """Return a job that waits; one whose message cannot be read says so."""
    *projected, data = row
    stream = Stream(*projected)
    job_id = stream.job_id or ""
    try:
        return Waiting(stream, Message(job_id, bytes(_MESSAGE_OF.decode(data).message)))
    except (msgspec.MsgspecError, UnicodeError) as exc:
        return Waiting(stream, Message(job_id, b""), problem=str(exc))


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
        *projected,
        scopes_odd,
    ) = row
    stream = Stream(connection_id, *projected) if projected[0] else Stream(connection_id)
    dead = stream.state == "failed" and stream.retry_at is None
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
        dead
        and StoredCredentials(connection_id, access, refresh).fingerprint != stream.credentials,
        stream,
        bool(scopes_odd),
        ref,
    )
