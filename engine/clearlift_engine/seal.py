"""seal: put together what a seal says of the rows that came since the one before.

Nothing is sealed that is already wrong: a signature under it would make it right for ever. Whether
the rows by themselves make sense is for `replay` to say; run it first.
"""

import msgspec

from clearlift_engine.errors import CronWorkerError
from clearlift_engine.seals import FORMAT, NO_ROWS, Seal, mark_of, row_digest, running
from clearlift_engine.stream import Entry


class NotAsSealedError(CronWorkerError):
    """The log is not as it was sealed, or cannot be sealed: exit code 6."""

    def __init__(self, position: int, detail: str) -> None:
        super().__init__(
            f"position {position}: {detail}; nothing was sealed. See `clearlift-cron audit verify`"
            " and `clearlift-cron replay`"
        )
        self.position = position


class Sealer:
    """The next seal in the making."""

    def __init__(self, before: Seal | None) -> None:
        self._before = before
        self._position = 0 if before is None else before.position
        self._digest = NO_ROWS if before is None else bytes.fromhex(before.rows_digest)
        self._first = self._position + 1
        self._marks = bytearray()

    def add(self, row: Entry) -> None:
        """Take in the next row of the log.

        Raises:
            NotAsSealedError: it is not the next one.
        """
        expected = self._position + 1
        if row.position != expected:
            raise NotAsSealedError(expected, f"the log goes on with position {row.position}")
        digest = row_digest(row)
        if digest is None:
            raise NotAsSealedError(expected, "the row is no text")
        self._position, self._digest = expected, running(self._digest, digest)
        self._marks += mark_of(digest)

    def seal(self, *, log_digest: str | None, sealed_at: str, run_id: str, key: bytes) -> Seal:
        """Return the seal, without its signature."""
        before = self._before
        return Seal(
            format=FORMAT,
            number=1 if before is None else before.number + 1,
            first=self._first,
            position=self._position,
            events=self._position,
            rows_digest=self._digest.hex(),
            log_digest=log_digest,
            marks=bytes(self._marks),
            sealed_at=sealed_at,
            run_id=run_id,
            key=key,
            previous=None if before is None else before.hash,
        )


def check_end(before: Seal, row: Entry | None) -> None:
    """Look whether the newest row that is sealed is still the one that was sealed.

    Raises:
        NotAsSealedError: it is not.
    """
    position = before.position
    if row is None:
        raise NotAsSealedError(position, f"seal {before.number} covers a row that is gone")
    digest = row_digest(row)
    if digest is None or mark_of(digest) != before.mark(position):
        raise NotAsSealedError(position, f"the row is not the one of seal {before.number}")


def encoded(record: Entry | Seal) -> bytes:
    """Return a row or a seal as it stands in a file: JSON on a line of its own."""
    return msgspec.json.encode(record) + b"\n"
