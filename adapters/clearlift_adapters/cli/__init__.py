"""`clearlift-cron`: the command line, and the one place that wires engine and adapters together.

Nothing is imported here but what takes Ctrl-C: importing the rest takes most of an idle tick, and
an interrupt in the midst of it would end in a traceback of modules that are half there.
"""

import sys

from clearlift_adapters.cli import interrupt


def main() -> None:
    """Run this process's command line."""
    interrupt.take()
    from clearlift_adapters.cli.commands import perform  # noqa: PLC0415  see above

    code = perform(sys.argv[1:])
    interrupt.ignore()
    sys.exit(code)
