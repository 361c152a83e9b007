"""What a seal says about the log, and in which bytes.

Whoever can write to the database can write the whole log anew, hashes and all. A seal is a signed
statement of how the log was; the key is somewhere else.

The running digest. A row's digest is SHA-256 over the UTF-8 bytes of this JSON array, written as in
`stream`; unlike a row's hash it also covers the position:

    [1, position, connection_id, version, transition, source, target,
     occurred_at, run_id, job_id, data, hash]

The running digest of no rows is 32 zero bytes, and after a row it is SHA-256 over the one before
and the row's digest, 64 bytes. The next seal goes on from where the last one ended, so sealing
reads only what is new.

A digest over many rows says that one of them has changed, not which. So a seal also has a mark for
each row that it adds: the first eight bytes of the row's digest, one after the other.

The signature is over the UTF-8 bytes of this JSON array; bytes are spelled in base64:

    ["clearlift-seal", 1, number, first, position, events, rows_digest, log_digest, marks,
     sealed_at, run_id, key, previous]

`previous` is the SHA-256 of the array of the seal before, so that none can be left out.
"""

from hashlib import sha256
from typing import Final, Literal

import msgspec

from clearlift_engine.stream import Entry

FORMAT: Final = 1
MARK_BYTES: Final = 8
ROWS_MAX: Final = 50_000  # A seal: its marks must fit in a value of D1.
NO_ROWS: Final = bytes(32)

_PURPOSE: Final = "clearlift-seal"
_ROW_VERSION: Final = 1
_ENCODER: Final = msgspec.json.Encoder()

Rule = Literal[
    "row_missing",
    "row_changed",
    "row_unreadable",
    "rows_digest",  # some row up to the seal's position, and no mark says which
    "seal_missing",
    "seal_order",
    "seal_unreadable",
    "seal_signature",
    "seal_chain",
    "seal_differs",  # between the database and the file that was kept
]


class Seal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed statement; its JSON, in this order and on one line, is how it is kept."""

    format: int
    number: int  # 1, 2, 3 … without a gap.
    first: int  # The position of the first row that has a mark here.
    position: int  # Of the last row that is sealed.
    events: int  # Rows up to there.
    rows_digest: str  # The running digest, in hex.
    log_digest: str | None  # As `replay` prints it; only in the last seal of a run.
    marks: bytes
    sealed_at: str
    run_id: str
    key: bytes  # The public key.
    previous: str | None  # Hash of the seal before.
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """Return what is signed."""
        *told, _ = msgspec.structs.astuple(self)
        return _ENCODER.encode((_PURPOSE, *told))

    @property
    def hash(self) -> str:
        """Return what the next seal calls `previous`."""
        return sha256(self.statement).hexdigest()

    @property
    def is_sound(self) -> bool:
        """Return whether its numbers fit each other, as those of every seal of ours do."""
        rows = self.position - self.first + 1
        return rows > 0 and self.first > 0 and len(self.marks) == rows * MARK_BYTES

    def mark(self, position: int) -> bytes | None:
        """Return the mark of the row at a position, None if another seal has it."""
        if not self.first <= position <= self.position:
            return None
        start = (position - self.first) * MARK_BYTES
        return self.marks[start : start + MARK_BYTES]


class Problem(msgspec.Struct, frozen=True):
    """Something in the place of a row or a seal that is none."""

    rule: Rule
    detail: str


def row_digest(row: Entry) -> bytes | None:
    """Return the digest of a row; None if it is not even text, which no row of ours is."""
    try:
        return sha256(_ENCODER.encode((_ROW_VERSION, *msgspec.structs.astuple(row)))).digest()
    except UnicodeError:
        return None


def mark_of(digest: bytes) -> bytes:
    """Return what a seal remembers of one row."""
    return digest[:MARK_BYTES]


def running(digest: bytes, row: bytes) -> bytes:
    """Return the running digest after one more row, by its digest."""
    return sha256(digest + row).digest()


class Heads:
    """The digest that `replay` prints, from the newest row of each stream in the order of ids."""

    def __init__(self) -> None:
        self._digest = sha256()

    def add(self, connection_id: str, version: int, row_hash: str) -> None:
        """Take in the newest row of the next stream."""
        self._digest.update(_ENCODER.encode((connection_id, version, row_hash)) + b"\n")

    @property
    def digest(self) -> str:
        """Return the digest over all streams so far."""
        return self._digest.hexdigest()
