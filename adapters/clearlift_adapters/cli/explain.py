"""`explain`: why a connection is served or not, what became of it, and what is to be done."""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.connections import absent
from clearlift_adapters.cli.options import Command, Flags, identifier, moment
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line, readable, when
from clearlift_adapters.cli.plan import plan_of
from clearlift_adapters.cli.schedule import next_after
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.stores.connections import ConnectionRow
from clearlift_engine.advice import Advice, Who
from clearlift_engine.advice import command as command_line
from clearlift_engine.cycles import Cycle, as_of, job_ids
from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.explain import ClauseLine, Explanation, Source, explain, why
from clearlift_engine.policy import Blocked, Candidate, Clause, iso
from clearlift_engine.questions import Questions
from clearlift_engine.replay import folded_on
from clearlift_engine.stream import Entry, Stream

ROWS: Final = 200  # Of the log, the newest: more than ten cycles have, whatever happens to them.
PAGE: Final = 1_000
SHOWN_MAX: Final = 200  # Characters of a name; some other program may have written megabytes.

NOT_YET: Final = "not due: nothing had happened to it yet"
ONLY_TODAY: Final = (
    "of the past the log is known; activity, sync status, last sync, token and settings only as "
    "they are today, unless the log has recorded them"
)


MAY_END_SOONER: Final[tuple[Clause, ...]] = ("refreshing", "open_job", "syncing")
_DOERS: Final[Mapping[Who, str]] = {
    "nobody": "",
    "operator": " by an operator",
    "user": " by its user",
}


class ClauseView(msgspec.Struct, frozen=True):
    """A clause of the due rule."""

    clause: Clause
    blocks: bool
    until: str | None
    because: str
    known_from: Source


class CycleView(msgspec.Struct, frozen=True):
    """A cycle, and what became of its job."""

    began_at: str
    because: str
    job_id: str | None
    state: str
    ended_at: str
    sentence: str
    job_status: str | None
    job_completed_at: str | None
    job_error: str | None


class FailureView(msgspec.Struct, frozen=True):
    """The failure that a connection stands in."""

    failure_class: str = msgspec.field(name="class")
    message: str
    code: str | None
    failures: int
    failed_at: str
    retry_at: str | None


class PausedView(msgspec.Struct, frozen=True):
    """By whom a connection is paused, and why."""

    at: str
    by: str | None
    reason: str | None


class ExplainView(msgspec.Struct, frozen=True, kw_only=True):
    """What `explain --json` prints."""

    connection_id: str
    at: str
    past: bool  # True: not all is known, see `known_from`.
    organization_id: str
    platform: str
    account_id: str
    account_name: str | None
    state: str | None  # None: no tick has seen it yet.
    changed_at: str | None
    due: bool
    blocked: Clause | None
    why: str
    due_at: str | None  # At the latest; None: it takes more than time.
    next_tick_at: str | None  # The first that finds it due.
    advice: Advice
    clauses: Sequence[ClauseView]
    token: str
    expires_at: str | None
    has_access_token: bool
    has_refresh_token: bool
    connected_at: str | None
    paused: PausedView | None
    failure: FailureView | None
    cycles: Sequence[CycleView]


@click.command("explain", cls=Command, short_help="Say why one is served or not, and what to do.")
@click.argument("connection_id", type=identifier, metavar="ID")
@click.option("--at", "at_ms", type=moment, metavar="TIME", help="As it was then (ISO 8601).")
@click.pass_obj
def command(flags: Flags, *, connection_id: str, at_ms: int | None) -> int:
    """Say why a connection is due or not, clause by clause, and what is to be done.

    It is decided by the rule that tick decides by. Nothing is changed.
    """
    try:
        view = stopping.run(_explain(flags, connection_id, at_ms))
    except (UnreadableEventError, IllegalTransitionError) as exc:
        flags.log.note("error", "the log cannot be folded; `replay` says where", why=str(exc))
        return exits.VIOLATED
    if flags.json:
        print_json(view)
    else:
        _print(view)
    return exits.DONE


async def _explain(flags: Flags, connection_id: str, at_ms: int | None) -> ExplainView:
    async with open_world(flags, "ro") as world:
        now_ms = world.clock.now()
        if at_ms is not None and at_ms > now_ms:
            raise click.UsageError("--at is in the future: the log knows the past only")
        row = await world.backend.connections.show(connection_id)
        known = await world.backend.store.find([connection_id])
        if row is None or not known:
            raise await _gone(world, connection_id)
        explained = (
            await _now(world, known[0], now_ms)
            if at_ms is None
            else await _then(world, known[0], at_ms)
        )
        next_tick_at = None
        if explained.due_at is not None:
            next_tick_at = next_after(world.settings.cron, explained.due_at - 1)
        return _view(explained, row, next_tick_at, past=at_ms is not None)


async def _gone(world: World, connection_id: str) -> click.BadParameter:
    """Return the refusal of an id that nothing has, or had."""
    if not await world.backend.questions.life(connection_id, after=0, limit=1):
        return absent(connection_id)
    log = command_line("timeline", connection_id)
    return click.BadParameter(f"it was deleted; what the log knows: `{log}`", param_hint="ID")


async def _now(world: World, conn: Candidate, now_ms: int) -> Explanation:
    questions = world.backend.questions
    after = max(conn.stream.version - ROWS, 0)
    entries = await questions.life(conn.connection_id, after=after, limit=ROWS)
    return explain(
        conn,
        entries,
        await questions.jobs(job_ids(entries)),
        now_ms=now_ms,
        schedule=world.settings.schedule,
        provider=world.refresher.providers.get(conn.platform),
        plan=await plan_of(world, conn),
    )


async def _then(world: World, conn: Candidate, at_ms: int) -> Explanation:
    questions = world.backend.questions
    stream, entries = await _folded(questions, conn.connection_id, at_ms)
    jobs = await questions.jobs(job_ids(entries))
    past = as_of(conn, stream, entries, jobs, at_ms=at_ms)
    return explain(
        past.conn,
        entries,
        jobs,
        now_ms=at_ms,
        schedule=world.settings.schedule,
        provider=world.refresher.providers.get(conn.platform),
        plan=None,
        recorded=past.recorded,
    )


async def _folded(
    questions: Questions, connection_id: str, at_ms: int
) -> tuple[Stream, Sequence[Entry]]:
    """Return a stream as it was at a moment, and its newest rows of then."""
    stream, newest, complete = Stream(connection_id), deque[Entry](maxlen=ROWS), False
    while not complete:
        page = await questions.life(connection_id, after=stream.version, limit=PAGE)
        until_then = list(takewhile(lambda entry: entry.occurred_at <= at_ms, page))
        stream = folded_on(stream, until_then)
        newest.extend(until_then)
        complete = len(until_then) < PAGE
    return stream, list(newest)


def _view(
    explained: Explanation, row: ConnectionRow, next_tick_at: int | None, *, past: bool
) -> ExplainView:
    conn, found, stream = explained.conn, explained.found, explained.conn.stream
    began = stream.state is not None or not past or (conn.connected_at or 0) <= explained.at
    return ExplainView(
        connection_id=conn.connection_id,
        at=iso(explained.at),
        past=past,
        organization_id=conn.organization_id,
        platform=conn.platform,
        account_id=conn.account_id,
        account_name=row.account_name,
        state=stream.state,
        changed_at=when(stream.changed_at) if stream.state else None,
        due=began and not isinstance(found, Blocked),
        blocked=found.clause if isinstance(found, Blocked) else None,
        why=why(found) if began else NOT_YET,
        due_at=when(explained.due_at) if began else None,
        next_tick_at=when(next_tick_at),
        advice=explained.advice,
        clauses=[_clause(line) for line in explained.clauses],
        token=explained.token,
        expires_at=when(conn.expires_at),
        has_access_token=bool(row.has_access_token),
        has_refresh_token=bool(row.has_refresh_token),
        connected_at=when(conn.connected_at),
        paused=_paused(explained),
        failure=_failure(explained),
        cycles=[_cycle(cycle) for cycle in explained.cycles],
    )


def _clause(line: ClauseLine) -> ClauseView:
    return ClauseView(line.clause, line.blocks, when(line.until), line.because, line.known_from)


def _paused(explained: Explanation) -> PausedView | None:
    paused_at, event = explained.conn.stream.paused_at, explained.paused
    if paused_at is None:
        return None
    return PausedView(
        iso(paused_at),
        None if event is None else event.by,
        None if event is None else event.reason,
    )


def _failure(explained: Explanation) -> FailureView | None:
    stream, event, failed_at = explained.conn.stream, explained.failure, explained.failed_at
    if event is None or failed_at is None:
        return None
    return FailureView(
        event.failure_class,
        event.message,
        event.code,
        stream.failures,
        iso(failed_at),
        when(stream.retry_at),
    )


def _cycle(cycle: Cycle) -> CycleView:
    job = cycle.job
    return CycleView(
        iso(cycle.began_at),
        cycle.because,
        cycle.job_id,
        cycle.state,
        iso(cycle.ended_at),
        cycle.sentence,
        None if job is None else job.status,
        None if job is None else when(job.completed_at),
        None if job is None else job.error,
    )


def _print(view: ExplainView) -> None:
    name = f" ({view.account_name[:SHOWN_MAX]})" if view.account_name else ""
    account = view.account_id[:SHOWN_MAX]
    print_line(f"{view.connection_id}: {view.platform[:SHOWN_MAX]} account {account}{name}")
    if view.why == NOT_YET:
        connected = readable(view.connected_at)
        print_line(f"at {readable(view.at)}: {NOT_YET}; its account was connected at {connected}")
        return
    print_line(f"at {readable(view.at)}: {view.why}{_when_due(view)}")
    if view.failure is not None:
        failed = view.failure
        print_line(
            f"{counted(failed.failures, 'failure')} since its last job, the newest at "
            f"{readable(failed.failed_at)}, {failed.failure_class}: {failed.message}"
        )
    print_line(f"to do{_DOERS[view.advice.who]}: {view.advice.sentence}")
    if view.advice.command is not None:
        print_line(f"next: {view.advice.command}")
    stored = "" if view.has_access_token else "; no access token is stored"
    print_line(f"token: {view.token}{stored}")
    if view.past:
        print_line(ONLY_TODAY)
        if view.connected_at is not None and view.connected_at > view.at:
            print_line(f"its account was connected later, at {readable(view.connected_at)}")
    known_from = ["known from"] if view.past else []
    clauses = Columns("clause", "keeps it back", "until", *known_from, "because")
    clauses.write(
        (
            *(line.clause, line.blocks, readable(line.until)),
            *([line.known_from] if view.past else []),
            line.because,
        )
        for line in view.clauses
    )
    cycles = Columns("began", "ended as", "job", "job is", "what")
    cycles.write(
        (
            readable(cycle.began_at),
            cycle.state,
            cycle.job_id,
            cycle.job_status,
            f"{cycle.because}; {cycle.sentence}",
        )
        for cycle in view.cycles
    )


def _when_due(view: ExplainView) -> str:
    if view.due or view.due_at is None:
        return "" if view.due else "; time alone does not change that"
    tick = "" if view.next_tick_at is None else f", for the tick of {readable(view.next_tick_at)}"
    sooner = " at the latest" if view.blocked in MAY_END_SOONER else ""
    return f"; due at {readable(view.due_at)}{sooner}{tick}"
