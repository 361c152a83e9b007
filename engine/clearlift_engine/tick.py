"""tick: one pass over everything that is due.

First those whose token lasts, a batch at a time, each batch one read and one transaction. Then the
refreshes, a lane per provider, because one may be slow and another throttled. What is over budget,
or whose provider is down, stays `due` and is counted as deferred.
"""

from collections.abc import Callable, Sequence
from typing import Final

from clearlift_engine.committer import fail_refused
from clearlift_engine.decisions import (
    TOO_LARGE,
    Decision,
    Step,
    cannot_be_served,
    job_created,
    needs_refresh,
    opened,
    too_large,
)
from clearlift_engine.delivery import with_delivery
from clearlift_engine.policy import Blocked, Candidate, Due, assess, iso, leased
from clearlift_engine.ports import Plan
from clearlift_engine.refresh import refresh_all
from clearlift_engine.run import (
    Note,
    Run,
    TickOutcome,
    TickPorts,
    TickReport,
    TickSettings,
)

PLAN_MAX: Final = 20_000  # References held at a time, whatever the number of connections.


async def tick(
    ports: TickPorts,
    settings: TickSettings,
    *,
    run_id: str,
    now_ms: int,
    should_stop: Callable[[], bool],
    note: Note,
) -> TickOutcome:
    """Serve all that is due at `now_ms`, until none is left or `should_stop()`.

    Raises:
        UnavailableError: the database went away; every commit made so far is whole.
    """
    run = Run(ports, settings, run_id=run_id, now_ms=now_ms, should_stop=should_stop, note=note)
    told = False
    while not should_stop():
        left = PLAN_MAX if settings.limit is None else settings.limit - run.progress
        if left <= 0:
            break
        plan = await ports.store.due(
            now_ms=now_ms,
            schedule=settings.schedule,
            limit=min(left, PLAN_MAX),
            without=run.halted,
        )
        if not told:
            await _tell_of(run, plan.future)
            told = True
        before = run.progress, len(run.halted)
        await serve(run, plan)
        # What could not be served is still due: without its platform, others come into sight.
        if plan.complete or before == (run.progress, len(run.halted)):
            break
    report = TickReport(
        run_id=run_id,
        started_at=iso(now_ms),
        duration_ms=max(ports.clock.now() - now_ms, 0),
        due=run.due,
        refreshed=run.refreshed,
        jobs_created=run.jobs_created,
        failed=run.failed,
        deferred=run.deferred,
        delivered=run.delivered,
        failures=run.failures,
    )
    return TickOutcome(report, run.problems, run.deferrals)


async def _tell_of(run: Run, future: Sequence[int]) -> None:
    if future:
        for conn in await run.ports.store.candidates(future):
            run.warn_of_oddities(conn)


async def serve(run: Run, plan: Plan) -> None:
    """Make the jobs whose tokens last, then the refreshes and theirs."""
    lanes: dict[str, list[int]] = {}
    ready = list(plan.ready)
    for platform, refs in plan.expiring.items():
        provider = run.providers.get(platform)
        if provider is None or provider.rate is None:
            # Nothing to ask: keys do not expire, and for an unknown platform nobody could be asked.
            ready += refs
        elif platform not in run.halted:
            lanes[platform] = list(refs)
    batch = run.settings.batch
    for start in range(0, len(ready), batch):
        if run.should_stop():
            run.note("info", "stopping early", left=len(ready) - start)
            return
        for conn in await serve_batch(run, ready[start : start + batch]):
            lanes.setdefault(conn.platform, []).append(conn.ref)
    await refresh_all(run, lanes)


async def serve_batch(run: Run, refs: Sequence[int]) -> Sequence[Candidate]:
    """Read a batch, decide about each connection, and commit all of it in one transaction.

    Return those that need a refresh first.
    """
    store = run.ports.store
    conns = {conn.connection_id: conn for conn in await store.candidates(refs)}
    at_ms = run.ports.clock.now()  # Not when the tick began: it may have stood still since.
    decisions: list[Decision] = []
    expiring: list[Candidate] = []
    for conn in conns.values():
        run.warn_of_oddities(conn)
        due = assess(conn, run.now_ms, run.settings.schedule)
        if isinstance(due, Blocked) or leased(conn.stream, at_ms):
            continue
        decision = decide(run, conn, due, at_ms)
        if decision is None:
            expiring.append(conn)
            continue
        run.found(conn, due)
        decisions.append(decision)
    if decisions:
        if run.ports.queue is not None:
            decisions = await with_delivery(
                run.ports.queue, decisions, at_ms=at_ms, run_id=run.run_id
            )
        appended = await store.append([decision.commit for decision in decisions])
        run.settle(decisions, appended)
        steps = [_reopened(run, conns[each], at_ms) for each in appended.refused]
        await fail_refused(run, steps, appended.refused)
    return expiring


def decide(run: Run, conn: Candidate, due: Due, at_ms: int) -> Decision | None:
    """Return what becomes of a due connection; None if its token has to be refreshed first."""
    step = opened(conn, due, at_ms=at_ms, run_id=run.run_id)
    provider = run.providers.get(conn.platform)
    if too_large(conn):
        return cannot_be_served(step, TOO_LARGE, at_ms=at_ms, run_id=run.run_id)
    if not needs_refresh(conn, provider, run.now_ms, run.settings.schedule):
        return job_created(
            step,
            now_ms=run.now_ms,
            at_ms=at_ms,
            run_id=run.run_id,
            job_id=run.ports.new_id(),
            schedule=run.settings.schedule,
        )
    if provider is None:
        reason = (
            f"the token has expired and no provider is declared for platform {conn.platform!r}; "
            "declare it in the configuration file"
        )
        return cannot_be_served(
            step, reason, provider=conn.platform, at_ms=at_ms, run_id=run.run_id
        )
    return None


def _reopened(run: Run, conn: Candidate, at_ms: int) -> Step:
    due = assess(conn, run.now_ms, run.settings.schedule)
    assert isinstance(due, Due)
    return opened(conn, due, at_ms=at_ms, run_id=run.run_id)
