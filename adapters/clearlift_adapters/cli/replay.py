"""`replay`: audit the log, tell a life, show the states at a moment, rebuild the projection."""

from collections.abc import Sequence

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.connections import absent
from clearlift_adapters.cli.options import Command, Flags, moment
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line, when
from clearlift_adapters.cli.progress import counting, progress
from clearlift_adapters.cli.runs import noted, recorded
from clearlift_adapters.cli.timeline import tell
from clearlift_adapters.cli.world import World, open_world
from clearlift_engine.audit import Violation
from clearlift_engine.errors import IllegalTransitionError, UnreadableEventError
from clearlift_engine.replay import ReplayReport, fold, replay, states_at
from clearlift_engine.stream import Stream


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


@click.command("replay", cls=Command, short_help="Audit the log; tell the life of a connection.")
@click.argument("connections", nargs=-1, metavar="[CONNECTION]...")
@click.option(
    "--as-of",
    "at_ms",
    type=moment,
    metavar="T",
    help="Show the states as they were at T (ISO 8601).",
)
@click.option(
    "--events", is_flag=True, help="Only the life of each CONNECTION, one JSON object a transition."
)
@click.option("--rebuild", is_flag=True, help="Make the projection anew from the log, then audit.")
@click.pass_obj
def command(
    flags: Flags,
    *,
    connections: tuple[str, ...],
    at_ms: int | None,
    events: bool,
    rebuild: bool,
) -> int:
    """Fold the log again and compare it with everything it explains; print each violation.

    With a CONNECTION, tell its life, a line for each transition.
    """
    if rebuild and (connections or at_ms is not None):
        raise click.UsageError("--rebuild goes with neither --as-of nor a CONNECTION")
    if events and (not connections or at_ms is not None):
        raise click.UsageError("--events needs a CONNECTION, and does not go with --as-of")
    try:
        if events:
            return stopping.run(_print_events(flags, connections))
        if at_ms is not None:
            return stopping.run(_show_states(flags, at_ms, connections))
        return stopping.run(_audit(flags, connections, rebuild=rebuild))
    except (UnreadableEventError, IllegalTransitionError) as exc:
        flags.log.note("error", "the log cannot be folded; `replay` says where", why=str(exc))
        return exits.VIOLATED


async def _audit(flags: Flags, connections: Sequence[str], *, rebuild: bool) -> int:
    if rebuild:
        async with open_world(flags, "rw") as world, recorded(world, "replay --rebuild") as run:
            streams = await world.backend.archive.rebuild(fold)
            run.report = {"streams": streams}
            world.log.note("info", "rebuilt", streams=streams)
            if not flags.json:
                print_line(f"rebuilt {counted(streams, 'stream')}")
    async with open_world(flags, "ro") as world:
        eventless = await _eventless(world, connections)
        if connections and not flags.json:
            for connection_id in sorted(set(connections)):
                await tell(world, connection_id, as_json=False)
            for connection_id in eventless:
                print_line(f"{connection_id} has no events yet")
        began_at = world.clock.now()
        with progress("replay", world.log) as shown:
            archive = counting(world.backend.archive, shown)
            report = await replay(archive, connection_ids=connections or None)
    if not connections:
        await noted(
            flags,
            "replay",
            began_at,
            exits.VIOLATED if report.violations else exits.DONE,
            _brief(report),
        )
    if report.omitted:
        flags.log.note("warning", "there are more violations than shown", omitted=report.omitted)
    if flags.json:
        view = ReplayView(report.connections, report.events, report.violations, report.digest)
        print_json(view)
    else:
        _print(report)
    return exits.VIOLATED if report.violations else exits.DONE


def _brief(report: ReplayReport) -> dict[str, object]:
    return {
        "connections": report.connections,
        "events": report.events,
        "violations": len(report.violations) + report.omitted,
        "digest": report.digest,
    }


def _print(report: ReplayReport) -> None:
    violations = counted(len(report.violations) + report.omitted, "violation")
    print_line(
        f"{counted(report.connections, 'connection')}, {counted(report.events, 'event')}, "
        f"{violations}; digest {report.digest}"
    )
    columns = Columns("connection", "position", "rule", "detail")
    columns.write((v.connection_id, v.position, v.rule, v.detail) for v in report.violations)


async def _eventless(world: World, connections: Sequence[str]) -> Sequence[str]:
    """Return those that exist and have no events yet.

    Raises:
        click.BadParameter: neither the log nor the table of connections knows one of them.
    """
    if not connections:
        return []
    histories = world.backend.archive.histories(connections)
    events = {each.connection_id: len(each.entries) async for each in histories}
    for connection_id in connections:
        if connection_id not in events:
            if await world.backend.connections.show(connection_id) is None:
                raise absent(connection_id)
            events[connection_id] = 0
    return [connection_id for connection_id, number in events.items() if number == 0]


async def _print_events(flags: Flags, connections: Sequence[str]) -> int:
    async with open_world(flags, "ro") as world:
        await _eventless(world, connections)
        for connection_id in sorted(set(connections)):
            await tell(world, connection_id, as_json=True)
    return exits.DONE


async def _show_states(flags: Flags, at_ms: int, connections: Sequence[str]) -> int:
    columns = Columns("connection", "state", "version", "since", "job", "retry at", "failures")
    async with open_world(flags, "ro") as world:
        await _eventless(world, connections)
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
