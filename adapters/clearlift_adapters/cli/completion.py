"""`completion`: prints what a shell loads to complete commands and options; click has the rest."""

from typing import Final

import click

from clearlift_adapters.cli.options import SelfContained
from clearlift_adapters.cli.output import print_line

_VARIABLE: Final = "_CLEARLIFT_CRON_COMPLETE"  # As click derives it from the program's name.


@click.command(
    "completion", cls=SelfContained, short_help="Print what completes commands in a shell."
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, *, shell: str) -> None:
    """Print a script for SHELL that completes commands, options and their values.

    \b
    bash: clearlift-cron completion bash >~/.local/share/bash-completion/completions/clearlift-cron
    zsh:  clearlift-cron completion zsh >~/.zfunc/_clearlift-cron   (a directory of $fpath)
    fish: clearlift-cron completion fish >~/.config/fish/completions/clearlift-cron.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415  few need it

    completes = get_completion_class(shell)
    assert completes is not None
    root = ctx.find_root()
    script = completes(root.command, {}, root.info_name or "", _VARIABLE)
    for line in (script.source_template % script.source_vars()).strip().splitlines():
        print_line(line)
