"""`replay`: audit the log, tell a life, show the states at a moment, rebuild the projection."""

import asyncio
from collections.abc import Sequence

import click
import msgspec

from clearlift_adapters.cli import exits
from clearlift_adapters.cli.options import Command, Flags, moment
from clearlift_adapters.cli.output import Columns, print_json, print_line, when
from clearlift_adapters.cli.runs import recorded
from clearlift_adapters.cli.world import World, open_world
from clearlift_engine.audit import Violation
from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.replay import ReplayReport, fold, replay, states_at
from clearlift_engine.stream import Stream
from clearlift_engine.timeline import timeline


class ReplayView(msgspec.Struct, frozen=True):
    """What `replay --json` prints."""

    connections: int
    events: int
    violations: Sequence[Violation]
    digest: str


class StateView(msgspec.Struct, frozen=True):
    """A line of `replay --as-of T --json`."""

    connection_id: str
    state: str | None
    version: int
    changed_at: str | None
    job_id: str | None
    retry_at: str | None
    failures: int


@click.command("replay", cls=Command)
@click.argument("connections", nargs=-1, metavar="[CONNECTION]...")
@click.option(
    "--as-of",
    "at_ms",
    type=moment,
    metavar="T",
    help="Show the states as they were at T (ISO 8601).",
)
@click.option("--rebuild", is_flag=True, help="Make the projection anew from the log, then audit.")
@click.pass_obj
def command(flags: Flags, *, connections: tuple[str, ...], at_ms: int | None, rebuild: bool) -> int:
    """Fold the log again and compare it with everything it explains; print each violation.

    With a CONNECTION, tell its life, a line for each transition.
    """
    if rebuild and (connections or at_ms is not None):
        raise click.UsageError("--rebuild goes with neither --as-of nor a CONNECTION")
    try:
        if at_ms is not None:
            return asyncio.run(_show_states(flags, at_ms, connections))
        return asyncio.run(_audit(flags, connections, rebuild=rebuild))
    except (UnreadableEventError, IllegalTransitionError) as exc:
        flags.log.note("error", "the log cannot be folded; `replay` says where", why=str(exc))
        return exits.VIOLATED


async def _audit(flags: Flags, connections: Sequence[str], *, rebuild: bool) -> int:
    if rebuild:
        async with open_world(flags, "rw") as world, recorded(world, "replay --rebuild") as run:
            streams = await world.backend.archive.rebuild(fold)
            run.report = {"streams": streams}
            world.log.note("info", "rebuilt", streams=streams)
    async with open_world(flags, "ro") as world:
        if connections and not flags.json:
            await _tell(world, connections)
        report = await replay(world.backend.archive, connection_ids=connections or None)
    if report.omitted:
        flags.log.note("warning", "there are more violations than shown", omitted=report.omitted)
    if flags.json:
        view = ReplayView(report.connections, report.events, report.violations, report.digest)
        print_json(view)
    else:
        _print(report)
    return exits.VIOLATED if report.violations else exits.DONE


def _print(report: ReplayReport) -> None:
    print_line(
        f"{report.connections} connections, {report.events} events, "
        f"{len(report.violations) + report.omitted} violations; digest {report.digest}"
    )
    violations = Columns("connection", "position", "rule", "detail")
    violations.write((v.connection_id, v.position, v.rule, v.detail) for v in report.violations)


async def _tell(world: World, connections: Sequence[str]) -> None:
    lines = Columns("position", "at", "transition", "to", "what")
    told: set[str] = set()
    async for history in world.backend.archive.histories(connections):
        told.add(history.connection_id)
        lines.write(
            (
                line.position,
                when(line.occurred_at),
                line.transition,
                line.target,
                line.sentence,
            )
            for line in timeline(history)
        )
    for connection_id in sorted(set(connections) - told):
        world.log.note("warning", "the log knows nothing of it", connection_id=connection_id)


async def _show_states(flags: Flags, at_ms: int, connections: Sequence[str]) -> int:
    columns = Columns("connection", "state", "version", "since", "job", "retry at", "failures")
    async with open_world(flags, "ro") as world:
        async for stream in states_at(world.backend.archive, at_ms, connections or None):
            view = _view(stream)
            if flags.json:
                print_json(view)
            else:
                columns.write([msgspec.structs.astuple(view)])
    return exits.DONE


def _view(stream: Stream) -> StateView:
    return StateView(
        stream.connection_id,
        stream.state,
        stream.version,
        when(stream.changed_at),
        stream.job_id,
        when(stream.retry_at),
        stream.failures,
    )
