"""replay: fold the log again and compare it with everything that it explains.

The log is read one connection at a time: memory is bounded by the longest life, not by how many
there are. The rules are in `audit`; what is here is what concerns the whole log.

The digest is SHA-256, in lower-case hex, over one line for each stream, in the order of the UTF-8
bytes of the ids: the JSON array [connection_id, version, hash] of its newest row, encoded as in
`stream`, and a line feed. It depends on the log alone. A digest that was kept elsewhere shows what
no rule can: a stream that is gone with everything about it, or a log that was written anew.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import takewhile
from typing import Final

import msgspec

from clearlift_engine.audit import Rule, Violation, audit
from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import decode
from clearlift_engine.ports import Archive
from clearlift_engine.seals import Heads
from clearlift_engine.stream import Entry, Stream, evolve

VIOLATIONS_MAX: Final = 10_000  # Kept for the report: a log broken throughout must fit in memory.
_DETAIL_MAX: Final = 400  # Characters: the reason may quote a row, and a row may be megabytes.


class ReplayReport(msgspec.Struct, frozen=True):
    """What replay read and what it found."""

    connections: int  # That have a stream.
    events: int
    violations: Sequence[Violation]
    digest: str
    omitted: int = 0  # Violations beyond VIOLATIONS_MAX.


class _Findings:
    """The violations, so many and no more."""

    def __init__(self) -> None:
        self.kept: list[Violation] = []
        self.omitted = 0

    def add(self, connection_id: str | None, position: int | None, rule: Rule, detail: str) -> None:
        if len(self.kept) < VIOLATIONS_MAX:
            self.kept.append(Violation(connection_id, position, rule, detail[:_DETAIL_MAX]))
        else:
            self.omitted += 1


async def replay(archive: Archive, *, connection_ids: Sequence[str] | None = None) -> ReplayReport:
    """Return whether the log holds and explains the projection and the jobs, and where not.

    With `connection_ids`, only those streams are read, and the digest is over them.
    """
    findings, heads = _Findings(), Heads()
    connections = events = highest = 0
    async with aclosing(archive.histories(connection_ids)) as histories:
        async for history in histories:
            audit(history, partial(findings.add, history.connection_id))
            if history.entries:
                head = history.entries[-1]
                heads.add(head.connection_id, head.version, head.hash)
                connections, events = connections + 1, events + len(history.entries)
                highest = max(highest, head.position)
    if connection_ids is None:
        _compare_positions((events, highest), await archive.positions(), findings)
    return ReplayReport(connections, events, findings.kept, heads.digest, findings.omitted)


def _compare_positions(
    read: tuple[int, int], remembered: tuple[int, int], findings: _Findings
) -> None:
    """Report a log that has not one row for each position up to the highest.

    This is asked of the rows as they were read, and of what the database remembers to have given
    out: only the latter knows of rows that are missing at the end. The two may be of different
    moments, so they are not compared with each other.
    """
    for rows, highest in dict.fromkeys((read, remembered)):
        if rows != highest:
            detail = f"the log has {rows} rows and has reached position {highest}"
            findings.add(None, None, "gapless_positions", detail)


def fold(entries: Sequence[Entry]) -> Stream:
    """Return the stream that a connection's rows add up to, from the first row on.

    Raises:
        UnreadableEventError: see `folded_on`.
        IllegalTransitionError: see `folded_on`.
    """
    return folded_on(Stream(entries[0].connection_id), entries)


def folded_on(stream: Stream, entries: Sequence[Entry]) -> Stream:
    """Return a stream with the rows that follow it.

    Raises:
        UnreadableEventError: a row cannot be decoded, or one before it is missing.
        IllegalTransitionError: a row says what cannot have happened.
    """
    for entry in entries:
        if entry.version != stream.version + 1:
            reason = f"version {entry.version} follows version {stream.version}"
            raise UnreadableEventError(entry.transition, reason)
        event = decode(entry.transition, entry.data)
        stream = evolve(stream, event, occurred_at=entry.occurred_at, digest=entry.hash)
    return stream


async def states_at(
    archive: Archive, at_ms: int, connection_ids: Sequence[str] | None = None
) -> AsyncIterator[Stream]:
    """Yield each stream as it was at `at_ms`, in the order of their ids.

    Those that began later are left out.

    Raises:
        UnreadableEventError: see `fold`.
        IllegalTransitionError: see `fold`.
    """
    async with aclosing(archive.histories(connection_ids)) as histories:
        async for history in histories:
            until_then = list(takewhile(lambda entry: entry.occurred_at <= at_ms, history.entries))
            if until_then:
                yield fold(until_then)
