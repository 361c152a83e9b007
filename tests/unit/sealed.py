"""A log of three lives, woven into each other, and three seals over it, made as they always are."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from clearlift_adapters.signing import Signer, Verifier
from clearlift_engine.policy import iso
from clearlift_engine.seal import Sealer
from clearlift_engine.seals import Problem, Seal
from clearlift_engine.stream import Entry, Stream, record
from clearlift_engine.verify import Proof, verify
from tests.unit.lives import CREATED_AFTER_REFRESH, DUE, NOW_MS, RUN, STARTED

T = TypeVar("T")

SIGNER: Final = Signer(b64encode(bytes(range(32))).decode())
ATTACKER: Final = Signer(b64encode(bytes(32)).decode())
VERIFIER: Final = Verifier([SIGNER.public])
ENDS: Final = (4, 5, 9)  # Positions that the seals end at.


def woven(*names: str) -> list[Entry]:
    """Return three rows for each connection, one connection after the other in turn."""
    streams = {name: Stream(name) for name in names}
    rows: list[Entry] = []
    for event in (DUE, STARTED, CREATED_AFTER_REFRESH):
        for name in names:
            streams[name], draft = record(streams[name], event, at_ms=NOW_MS, run_id=RUN)
            rows.append(Entry(len(rows) + 1, *msgspec.structs.astuple(draft)))
    return rows


def seals_over(
    rows: Sequence[Entry], ends: Iterable[int] = ENDS, signer: Signer = SIGNER
) -> list[Seal]:
    """Return seals over `rows` that end at these positions."""
    made: list[Seal] = []
    for end in ends:
        sealer = Sealer(made[-1] if made else None)
        for row in rows[(made[-1].position if made else 0) : end]:
            sealer.add(row)
        log_digest = "0" * 64 if end == len(rows) else None
        at = iso(NOW_MS + end)
        seal = sealer.seal(log_digest=log_digest, sealed_at=at, run_id=RUN, key=signer.public)
        made.append(signer.signed(seal))
    return made


def proof(
    rows: Iterable[Entry | Problem],
    seals: Iterable[Seal | Problem],
    verifier: Verifier = VERIFIER,
) -> Proof:
    """Return what verify makes of rows and seals."""
    return asyncio.run(verify(_each(rows), _each(seals), verifier.objection))


async def _each(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


LOG: Final = woven("a", "b", "日本 'x'")
SEALS: Final = seals_over(LOG)
