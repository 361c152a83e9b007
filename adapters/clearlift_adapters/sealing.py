"""Seals the log as it is in a database, signed, in as many seals as its new rows need."""

from collections.abc import AsyncIterator

from clearlift_adapters.signing import Signer, Verifier
from clearlift_adapters.stores.seals import SqliteSeals
from clearlift_engine.policy import iso
from clearlift_engine.ports import Clock
from clearlift_engine.seal import NotAsSealedError, Sealer, check_end
from clearlift_engine.seals import FORMAT, ROWS_MAX, Problem, Seal


async def seal(
    store: SqliteSeals, signer: Signer, verifier: Verifier, clock: Clock, run_id: str
) -> AsyncIterator[Seal]:
    """Yield a seal for each ROWS_MAX rows since the last one, each when it is stored.

    Rows that come meanwhile are left for the next time. If another process seals at the same time,
    one of the two ends early.

    Raises:
        NotAsSealedError: what is already sealed is not as it was, or the new rows have a gap.
    """
    before = await last_good(store, verifier)
    last = await store.last_position()
    if before is not None:
        position = before.position
        check_end(before, await anext(store.rows(position - 1, position), None))
    while (done := 0 if before is None else before.position) < last:
        upto, sealer = min(last, done + ROWS_MAX), Sealer(before)
        async for row in store.rows(done, upto):
            sealer.add(row)
        now_ms = clock.now()
        unsigned = sealer.seal(
            log_digest=await store.log_digest(last) if upto == last else None,
            sealed_at=iso(now_ms),
            run_id=run_id,
            key=signer.public,
        )
        if unsigned.position != upto:
            raise NotAsSealedError(unsigned.position + 1, f"the log has no row up to {upto}")
        before = signer.signed(unsigned)
        if not await store.keep(before, now_ms):
            return
        yield before


async def last_good(store: SqliteSeals, verifier: Verifier) -> Seal | None:
    """Return the newest seal, None if there has never been one.

    Raises:
        NotAsSealedError: it is gone, cannot be read, or is not signed by a key that is trusted.
    """
    last = await store.last_seal()
    if isinstance(last, Problem):
        raise NotAsSealedError(1, last.detail)
    number = 0 if last is None else last.number
    highest = await store.highest_seal()
    if highest > number:
        position = 1 if last is None else last.position + 1
        raise NotAsSealedError(position, f"seal {highest} is not in the database any more")
    if last is None:
        return None
    objection = verifier.objection(last)
    if objection is not None:
        raise NotAsSealedError(1, f"seal {number} {objection}")
    if last.format != FORMAT or not last.is_sound:
        raise NotAsSealedError(1, f"seal {number} has format {last.format}, not this program's")
    return last
