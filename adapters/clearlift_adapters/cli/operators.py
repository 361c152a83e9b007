"""`pause`, `resume`, `retry`: what an operator says about one connection, with who and why."""

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.connections import absent
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line, when
from clearlift_adapters.cli.runs import recorded
from clearlift_adapters.cli.world import World, open_world
from clearlift_engine import operators
from clearlift_engine.operators import Answer, Outcome

TEXT_MAX: Final = 1_000  # Characters; it stays in the log for ever.

Say = Callable[[World, str], Awaitable[Answer | None]]  # With the id of the run that says it.


class AnswerView(msgspec.Struct, frozen=True):
    """What `pause`, `resume` and `retry` print with --json."""

    connection_id: str
    outcome: Outcome
    detail: str
    by: str
    reason: str | None
    state: str | None
    paused_at: str | None
    retry_at: str | None
    version: int


def said(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return an option that is kept in the log: some text, not too long."""
    if value is None:
        return None
    try:
        value.encode()
    except UnicodeError:
        raise click.BadParameter("this is no UTF-8", param=param) from None
    if not 0 < len(value.strip()) <= TEXT_MAX:
        raise click.BadParameter(f"write 1 to {TEXT_MAX} characters", param=param)
    return value.strip()


def whoever() -> str:
    """Return who runs this, as USER@HOST: by the operating system, not by the environment."""
    try:
        import pwd  # noqa: PLC0415  not on every system

        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # A container may run under a number that has no name.
        user = str(os.getuid()) if hasattr(os, "getuid") else os.getlogin()
    return f"{user}@{socket.gethostname()}"


_id = click.argument("connection_id", metavar="ID")
_why = click.option("--reason", required=True, callback=said, metavar="TEXT", help="Why.")
_by = click.option("--by", callback=said, metavar="WHO", help="Default: this user and this host.")


@click.command("pause", cls=Command, short_help="Leave a connection alone until it is resumed.")
@_id
@_why
@_by
@click.pass_obj
def pause(flags: Flags, *, connection_id: str, reason: str, by: str | None) -> int:
    """Leave a connection alone, whatever happens to it, until it is resumed.

    A job or a refresh that is under way ends as it would.
    """
    return _hold(flags, "pause", operators.pause, connection_id, reason=reason, who=by or whoever())


@click.command("resume", cls=Command, short_help="Let a paused connection be served again.")
@_id
@_why
@_by
@click.pass_obj
def resume(flags: Flags, *, connection_id: str, reason: str, by: str | None) -> int:
    """Let a paused connection be served again, as soon as it is due."""
    return _hold(
        flags, "resume", operators.resume, connection_id, reason=reason, who=by or whoever()
    )


@click.command("retry", cls=Command, short_help="Let the next tick try a failed connection again.")
@_id
@click.option("--reason", callback=said, metavar="TEXT", help="Why.")
@_by
@click.pass_obj
def retry(flags: Flags, *, connection_id: str, reason: str | None, by: str | None) -> int:
    """Let the next tick try a failed connection again, however long it had to wait.

    For what was put right: a key that was missing, a grant that is good after all. Exit code 7 if
    there is nothing to retry.
    """
    who = by or whoever()

    async def say(world: World, run_id: str) -> Answer | None:
        return await operators.retry(
            world.backend.store,
            connection_id,
            schedule=world.settings.schedule,
            reason=reason,
            by=who,
            at_ms=world.clock.now(),
            run_id=run_id,
        )

    return _say(flags, "retry", connection_id, say, by=who, reason=reason)


def _hold(
    flags: Flags,
    command: str,
    word: Callable[..., Awaitable[Answer | None]],
    connection_id: str,
    *,
    reason: str,
    who: str,
) -> int:
    """Pause or resume: the two words are alike but for what they are."""

    async def say(world: World, run_id: str) -> Answer | None:
        store, at_ms = world.backend.store, world.clock.now()
        return await word(store, connection_id, reason=reason, by=who, at_ms=at_ms, run_id=run_id)

    return _say(flags, command, connection_id, say, by=who, reason=reason)


def _say(
    flags: Flags, command: str, connection_id: str, say: Say, *, by: str, reason: str | None
) -> int:
    view = stopping.run(_recorded(flags, command, connection_id, say, by=by, reason=reason))
    if flags.json:
        print_json(view)
    else:
        print_line(f"{connection_id}: {view.detail}")
    return exits.UNSATISFIED if view.outcome == "refused" else exits.DONE


async def _recorded(
    flags: Flags, command: str, connection_id: str, say: Say, *, by: str, reason: str | None
) -> AnswerView:
    async with open_world(flags, "rw") as world, recorded(world, command) as run:
        answer = await say(world, run.id)
        if answer is None:
            raise absent(connection_id)
        run.report = view = _view(answer, by, reason)
        run.code = exits.UNSATISFIED if view.outcome == "refused" else exits.DONE
        return view


def _view(answer: Answer, by: str, reason: str | None) -> AnswerView:
    stream = answer.stream
    return AnswerView(
        connection_id=answer.connection_id,
        outcome=answer.outcome,
        detail=answer.detail,
        by=by,
        reason=reason,
        state=stream.state,
        paused_at=when(stream.paused_at),
        retry_at=when(stream.retry_at),
        version=stream.version,
    )
