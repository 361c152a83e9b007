"""The `sync_jobs` row of a message: tick inserts what is made here, replay compares with it.

The same message and run give the same row, to the byte. That is why the row can be checked long
afterwards against the log, which holds the message and the run.
"""

from typing import Final, Literal

import msgspec

from clearlift_engine.events import JobType, SyncJobMessage
from clearlift_engine.ports import JobRow

CREATED_BY: Final = "cron-worker"

_ENCODER: Final = msgspec.json.Encoder()


class _Window(msgspec.Struct, frozen=True, gc=False):
    type: JobType
    start: str
    end: str


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    """The JSON of `sync_jobs.metadata`, its keys in the order that others expect."""

    platform: str
    account_id: str
    sync_window: _Window
    created_by: Literal["cron-worker"]
    run_id: str


class _Signed(msgspec.Struct, frozen=True):
    created_by: str


_SIGNED: Final = msgspec.json.Decoder(_Signed)


def job_row(message: SyncJobMessage, run_id: str) -> JobRow:
    """Return the row that stands for `message` in `sync_jobs`; the database says it is pending."""
    window = _Window(message.job_type, message.sync_window.start, message.sync_window.end)
    metadata = _Metadata(message.platform, message.account_id, window, CREATED_BY, run_id)
    return JobRow(
        message.job_id,
        message.organization_id,
        message.connection_id,
        message.job_type,
        message.metadata.created_at,
        _ENCODER.encode(metadata).decode(),
    )


def is_ours(metadata: str | None) -> bool:
    """Return whether a row with this metadata says that the cron worker made it."""
    try:
        return _SIGNED.decode(metadata or "").created_by == CREATED_BY
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False  # Others may write what they like there.
