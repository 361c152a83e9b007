"""What can happen to a connection: one frozen struct per transition, and its JSON.

Each is a fact in the past tense and carries what was decided (a window, a time to retry), never the
setting that led there, so that a replay needs no configuration. None carries a token, a
ciphertext or a key: `credentials` is a fingerprint, which says only whether two are the same.

`v` is the version of the shapes, of all of them together. What has been written stays readable for
ever: with a new version, every transition gets an entry in UPCASTS that turns the old JSON object
into the new one, and a golden file. Times are `int`, milliseconds since 1970, UTC; those in a
message are ISO 8601, as the consumer wants them.

`gc=False`, here and wherever there is one struct for each row: frozen and made of plain values,
they are part of no cycle, so the collector need not look at them, however many there are.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

import msgspec

from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.machine import Transition

SCHEMA_VERSION: Final = 1

DueReason = Literal["never_synced", "interval_elapsed", "retry", "reconnected"]
JobType = Literal["full", "incremental"]
Priority = Literal["high", "normal"]
Level = Literal["same_transaction", "windowless", "windowed", "at_least_once"]
FailureClass = Literal["transient", "permanent", "invalid"]  # invalid: the row, not the grant.
ReleaseReason = Literal[
    "throttled",
    "provider_down",
    "configuration",
    "suspect",
    "credentials_changed",
    "lease_expired",
    "interrupted",
]


class SyncWindow(msgspec.Struct, frozen=True, gc=False):
    """The stretch of time a job covers, ISO 8601."""

    start: str
    end: str


class MessageMetadata(msgspec.Struct, frozen=True, gc=False):
    """What the consumer is told about the message itself."""

    retry_count: int
    created_at: str
    priority: Priority


class SyncJobMessage(msgspec.Struct, frozen=True, gc=False):
    """The message, one per job, in the order of its JSON keys (sync_job_message.schema.json)."""

    job_id: str
    connection_id: str
    organization_id: str
    platform: str
    account_id: str
    job_type: JobType
    sync_window: SyncWindow
    metadata: MessageMetadata


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fact; `transition` names it in the log."""

    transition: ClassVar[Transition]
    v: int = SCHEMA_VERSION


class FellDue(Event, frozen=True, kw_only=True):
    """The interval has passed, a backoff has run out, or the user has reconnected."""

    transition = "fell_due"
    reason: DueReason
    last_synced_at: int | None
    superseded_job_id: str | None = None  # Open for longer than the job time limit.


class RefreshStarted(Event, frozen=True, kw_only=True):
    """A token request may have left this process. Written before the request, never after."""

    transition = "refresh_started"
    provider: str
    send_at: int
    lease_until: int
    credentials: str  # Fingerprint of what is sent.
    in_doubt: int = 0  # Earlier requests with these credentials whose answer nobody saw.


class RefreshReleased(Event, frozen=True, kw_only=True):
    """The refresh ended and nothing was learnt about this connection."""

    transition = "refresh_released"
    reason: ReleaseReason
    detail: str
    provider: str
    ambiguous: bool = False  # The provider may have acted on the request all the same.
    code: str | None = None
    latency_ms: int | None = None
    until: int | None = None  # When the provider said to come back.


class Refresh(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How the refresh that led to a job went."""

    provider: str
    expires_at: int | None
    rotated: bool
    attempts: int
    latency_ms: int
    refresh_expires_at: int | None = None  # Of the refresh token, where the provider says it.


class JobCreated(Event, frozen=True, kw_only=True):
    """A `sync_jobs` row exists, and this is its message, whole."""

    transition = "job_created"
    message: SyncJobMessage
    refresh: Refresh | None = None


class JobEnqueued(Event, frozen=True, kw_only=True):
    """The queue has the message."""

    transition = "job_enqueued"
    queue: str
    level: Level
    receipt: str | None = None
    already_delivered: bool = False


class SyncFailed(Event, frozen=True, kw_only=True):
    """Something is wrong with this connection, not with its provider or our settings."""

    transition = "sync_failed"
    failure_class: FailureClass = msgspec.field(name="class")
    message: str
    retry_at: int | None  # None: not before its credentials change.
    credentials: str | None = None  # Fingerprint of what was sent; dead if there is no retry_at.
    ambiguous: bool = False  # The provider may have acted on the request all the same.
    provider: str | None = None
    code: str | None = None
    attempts: int = 0
    latency_ms: int | None = None


class Paused(Event, frozen=True, kw_only=True):
    """An operator wants the connection left alone, whatever happens to it, until `Resumed`."""

    transition = "paused"
    reason: str
    by: str  # USER@HOST, or what the operator said.


class Resumed(Event, frozen=True, kw_only=True):
    """An operator lets the connection be served again."""

    transition = "resumed"
    reason: str
    by: str


class RetryRequested(Event, frozen=True, kw_only=True):
    """An operator has put right what was wrong: the failure waits no longer than `retry_at`."""

    transition = "retry_requested"
    retry_at: int
    by: str
    reason: str | None = None


_TYPES: Final[Mapping[str, type[Event]]] = {
    cls.transition: cls
    for cls in (
        *(FellDue, RefreshStarted, RefreshReleased, JobCreated, JobEnqueued, SyncFailed),
        *(Paused, Resumed, RetryRequested),
    )
}
_ENCODER: Final = msgspec.json.Encoder()
_READ: Final = {name: msgspec.json.Decoder(cls).decode for name, cls in _TYPES.items()}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = {}  # (transition, from version): to the next

_CURRENT: Final = f'{{"v":{SCHEMA_VERSION},'  # How everything begins that `encode` writes today.


class _Versioned(msgspec.Struct, frozen=True):
    v: int


def encode(event: Event) -> str:
    """Return the JSON that the log keeps in `data`."""
    return _ENCODER.encode(event).decode()


def body_of(message: SyncJobMessage) -> bytes:
    """Return a message as a queue gets it: byte for byte as it stands in the log."""
    return _ENCODER.encode(message)


def decode(
    transition: str, data: str, upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS
) -> Event:
    """Return the event that `encode` wrote, in today's shape.

    Raises:
        UnreadableEventError: not JSON, not that shape, or written by a newer program than this.
    """
    read = _READ.get(transition)
    if read is None:
        raise UnreadableEventError(transition, "there is no such transition")
    try:
        if data.startswith(_CURRENT):  # In a damaged row it may be a number.
            return read(data)
        version = msgspec.json.decode(data, type=_Versioned).v
        if version == SCHEMA_VERSION:
            return read(data)
        return msgspec.convert(_upcast(transition, version, data, upcasts), _TYPES[transition])
    except (msgspec.MsgspecError, UnicodeError, RecursionError, AttributeError, TypeError) as exc:
        raise UnreadableEventError(transition, str(exc)) from exc


def _upcast(
    transition: str, version: int, data: str, upcasts: Mapping[tuple[str, int], Upcast]
) -> dict[str, Any]:
    if version > SCHEMA_VERSION:
        raise UnreadableEventError(transition, f"version {version} is newer than this program")
    raw: dict[str, Any] = msgspec.json.decode(data)
    for old in range(version, SCHEMA_VERSION):
        if (transition, old) not in upcasts:
            raise UnreadableEventError(transition, f"nothing reads version {old}")
        raw = {**upcasts[transition, old](raw), "v": old + 1}
    return raw
