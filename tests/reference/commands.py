"""docs/reference/commands.md: every command and every option, as --help tells them."""

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Final

import click

from clearlift_adapters.cli.commands import cli
from tests.reference.printed import PRINTED, file_of

PROGRAM: Final = "clearlift-cron"
_BEGIN: Final = """\
# Commands

Written from the code by `just docs`; a test compares it. The options in the first section stand
before a command's name or after it. `audit keygen`, `demo`, `install` and `completion` have
settings of their own: they take `--json`, `--verbose` and `--quiet`, and what `--help` shows there.
"""


def text() -> str:
    """Return the whole page."""
    return "\n".join([_BEGIN, *_section(click.Context(cli, info_name=PROGRAM))])


def _section(ctx: click.Context) -> Iterator[str]:
    """Yield the lines about a command, and then those about its own commands."""
    command = ctx.command
    root = ctx.parent is None
    yield f"## `{ctx.command_path}`"
    yield ""
    yield f"    {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}"
    yield ""
    yield from _prose(command.help or "")
    options = [
        option
        for option in command.params
        if isinstance(option, click.Option) and (root or option.help not in _shared())
    ]
    if options:
        yield "| option | |"
        yield "| --- | --- |"
        for option in options:
            yield _row(option, ctx)
        yield ""
    yield from _printed(ctx.command_path.removeprefix(PROGRAM).strip())
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            sub = command.get_command(ctx, name)
            assert sub is not None
            yield from _section(click.Context(sub, info_name=name, parent=ctx))


def _shared() -> set[str | None]:
    """Return the help of the options that every command has."""
    return {option.help for option in cli.params if isinstance(option, click.Option)}


def _prose(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; what click is told not to wrap stays as it is."""
    for paragraph in cleandoc(text).split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0] == "\b":
            yield from (f"    {line}" for line in lines[1:])
        else:
            yield from lines
        yield ""


def _row(option: click.Option, ctx: click.Context) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag or option.count else f" {option.make_metavar(ctx)}"
    default = ""
    if option.show_default and not callable(option.default):
        default = f" Default: `{option.default}`."
    cells = f"`{names}{metavar}`", f"{option.help or ''}{default}"
    return "| {} | {} |".format(*(cell.replace("|", "\\|") for cell in cells))


def _printed(words: str) -> Iterator[str]:
    """Yield where the schemas of what a command prints are."""
    names = [name for name in PRINTED if words and name.split(" --")[0] == words]
    for name in names:
        rest = name.removeprefix(words)
        lines = ", an object a line" if PRINTED[name].lines else ""
        yield f"`{words}{rest} --json`: [{file_of(name)}](json/{file_of(name)}){lines}"
        yield ""


def every(ctx: click.Context | None = None) -> Sequence[str]:
    """Return the words of every command."""
    ctx = ctx or click.Context(cli, info_name=PROGRAM)
    if not isinstance(ctx.command, click.Group):
        return [ctx.command_path.removeprefix(PROGRAM).strip()]
    found: list[str] = []
    for name in ctx.command.list_commands(ctx):
        sub = ctx.command.get_command(ctx, name)
        assert sub is not None
        found += every(click.Context(sub, info_name=name, parent=ctx))
    return found
