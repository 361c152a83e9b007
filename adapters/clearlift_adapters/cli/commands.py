"""The commands, by name, and how one command line is run.

Commands are loaded by name when they are called, and each loads only what it needs: cron starts the
program afresh every few minutes, and importing everything takes far longer than an idle tick.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from clearlift_adapters.cli.arguments import refuse_secrets
from clearlift_adapters.cli.exits import guarded
from clearlift_adapters.cli.options import Flags, Group
from clearlift_adapters.cli.output import close_streams, open_streams

# Each command's module; it is `command` there, or bears its own name in a module of several.
_COMMANDS: Final = {
    "migrate": "migrate",
    "tick": "tick",
    "relay": "relay",
    "replay": "replay",
    "status": "status",
    "explain": "explain",
    "timeline": "timeline",
    "jobs": "jobs",
    "failures": "failures",
    "runs": "invocations",
    "doctor": "doctor",
    "health": "health",
    "metrics": "metrics",
    "report": "report",
    "connections": "connections",
    "pause": "operators",
    "resume": "operators",
    "retry": "operators",
    "queue": "queue",
    "keys": "keys",
    "audit": "audit",
    "serve": "serving",
    "run": "serving",
    "demo": "demo",
    "install": "install",
    "completion": "completion",
}


class LazyCommands(Group):
    """The commands, in the order of the help; a module is imported when its command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  same
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"{__package__}.{_COMMANDS[cmd_name]}")
        command = getattr(module, "command" if _COMMANDS[cmd_name] == cmd_name else cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    "clearlift-cron",
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 too many connections failed, "
    "4 configuration or key wrong, 5 database or queue unreachable, "
    "6 replay or audit found a violation, 7 a check is not satisfied.",
)
@click.version_option(package_name="clearlift-cron-worker", message="%(version)s")
def cli() -> None:
    """Find the connections that are due, refresh their tokens, and queue one sync job for each."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    flags = Flags(os.environ, arguments)

    def work() -> object:
        refuse_secrets(arguments, os.environ)
        return cli.main(
            list(arguments), prog_name="clearlift-cron", obj=flags, standalone_mode=False
        )

    return guarded(work, flags)


def perform(arguments: Sequence[str]) -> int:
    """Run this process's command line; return its exit code."""
    open_streams()
    code = run(arguments)
    close_streams()
    return code
