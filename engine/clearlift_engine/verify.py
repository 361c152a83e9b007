"""verify: is the log as it was sealed, and if not, from which position on?

Rows and seals are read once, side by side, in their orders. The first row that is not as sealed is
named exactly, by the mark that its seal has of it. Where that seal is gone or was tampered with, a
later one still covers the row; then all that can be said is between which positions it lies.

Rows after the first wrong one are not compared: one that was taken out moves all that follow.
Every seal is looked at all the same.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from clearlift_engine.seals import (
    FORMAT,
    NO_ROWS,
    Problem,
    Rule,
    Seal,
    mark_of,
    row_digest,
    running,
)
from clearlift_engine.stream import Entry

FINDINGS_MAX: Final = 1_000

Objection = Callable[[Seal], str | None]  # -> why its signature does not count


class Finding(msgspec.Struct, frozen=True):
    """What is not as it was sealed, and the first position that is in doubt for it."""

    position: int
    rule: Rule
    detail: str


class Proof(msgspec.Struct, frozen=True):
    """What verify read and what it found."""

    position: int  # Up to here the log is as sealed; 0: nothing is proven.
    sealed_at: str | None  # By the seal at that position.
    seals: int
    newer: int | None  # Rows after the last seal; None if a row before them is wrong.
    violations: list[Finding]
    log_digest: str | None  # What `replay` printed for the log up to `position`, if it was asked.


async def verify(
    rows: AsyncIterator[Entry | Problem],
    seals: AsyncIterator[Seal | Problem],
    objection: Objection,
) -> Proof:
    """Return up to where the log is as its seals say, and all that is not as it was sealed."""
    walk = _Walk(rows)
    order = _Order(objection)
    found: list[Finding] = []
    count = 0
    async for seal in seals:
        found += [Finding(walk.proven + 1, p.rule, p.detail) for p in order.problems(seal)]
        if isinstance(seal, Problem):
            continue
        count += 1
        if order.counts and walk.wrong is None:
            await walk.follow(seal)
            if walk.wrong is not None:
                found.append(walk.wrong)
        del found[FINDINGS_MAX:]
    newer = None if walk.wrong is not None else await walk.rest()
    violations = sorted(found, key=lambda finding: finding.position)
    proven = walk.sealed
    if proven is None:
        return Proof(0, None, count, newer, violations, None)
    return Proof(proven.position, proven.sealed_at, count, newer, violations, proven.log_digest)


class _Order:
    """Whether seals follow each other as they were made."""

    def __init__(self, objection: Objection) -> None:
        self._objection = objection
        self._next = 1
        self._hash: str | None = None
        self.counts = False  # Whether the last seal can be relied on.

    def problems(self, seal: Seal | Problem) -> list[Problem]:
        """Return what is wrong with a seal, as the next one."""
        self.counts = False
        if isinstance(seal, Problem):
            return [seal]
        problem = self._problem_of(seal)
        if problem is not None:
            return [problem]
        self.counts = True
        found: list[Problem] = []
        if seal.number < self._next:
            found.append(Problem("seal_order", f"seal {seal.number} comes too late"))
            return found
        if seal.number > self._next:
            missing = f"seal {self._next}" + (
                "" if seal.number == self._next + 1 else f" to {seal.number - 1}"
            )
            found.append(Problem("seal_missing", f"{missing} is not there"))
        elif seal.previous != self._hash:
            detail = f"seal {seal.number} does not follow the seal {seal.number - 1} that is there"
            found.append(Problem("seal_chain", detail))
        self._next, self._hash = seal.number + 1, seal.hash
        return found

    def _problem_of(self, seal: Seal) -> Problem | None:
        if seal.format != FORMAT:
            detail = f"seal {seal.number} has format {seal.format}, newer than this program"
            return Problem("seal_unreadable", detail)
        objection = self._objection(seal)
        if objection is not None:
            return Problem("seal_signature", f"seal {seal.number} {objection}")
        if not seal.is_sound:
            return Problem("seal_unreadable", f"the numbers of seal {seal.number} contradict it")
        return None


class _Walk:
    """The rows, compared with one seal after the other."""

    def __init__(self, rows: AsyncIterator[Entry | Problem]) -> None:
        self._rows = rows
        self._position, self._digest = 0, NO_ROWS
        self.sealed: Seal | None = None  # The newest that the rows are as it says.
        self.wrong: Finding | None = None

    @property
    def proven(self) -> int:
        """Return the position up to which the rows are as sealed."""
        return 0 if self.sealed is None else self.sealed.position

    async def follow(self, seal: Seal) -> None:
        """Go on to the position of a seal; `wrong` is what is not as it says."""
        if seal.position <= self._position:
            return  # It comes too late, and something else has covered its rows.
        while self._position < seal.position:
            row = await anext(self._rows, None)
            self.wrong = self._take(row, seal)
            if self.wrong is not None:
                return
        if self._digest.hex() != seal.rows_digest:
            detail = (
                f"a row from position {self.proven + 1} to {seal.position} is not as seal "
                f"{seal.number} says"
            )
            self.wrong = Finding(self.proven + 1, "rows_digest", detail)
            return
        self.sealed = seal

    async def rest(self) -> int:
        """Return how many rows come after the last seal."""
        newer = 0
        async for _ in self._rows:
            newer += 1
        return newer

    def _take(self, row: Entry | Problem | None, seal: Seal) -> Finding | None:
        expected = self._position + 1
        if isinstance(row, Problem):
            return Finding(expected, row.rule, row.detail)
        if row is None:
            detail = f"the log ends before it; seal {seal.number} goes on to {seal.position}"
            return Finding(expected, "row_missing", detail)
        if row.position > expected:
            return Finding(expected, "row_missing", f"position {row.position} comes in its place")
        digest = row_digest(row)
        if digest is None or row.position != expected:
            what = "is no text" if digest is None else f"says position {row.position}"
            return Finding(expected, "row_changed", f"the row there {what}")
        mark = seal.mark(expected)
        if mark is not None and mark != mark_of(digest):
            return Finding(expected, "row_changed", f"the row is not the one of seal {seal.number}")
        self._position, self._digest = expected, running(self._digest, digest)
        return None
