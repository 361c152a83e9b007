"""`clearlift-cron`: the command line, and the one place that wires engine and adapters together.

Nothing is imported here but what takes Ctrl-C: importing the rest takes most of an idle tick, and
an interrupt in the midst of it would end in a traceback of modules that are half there.
"""

import gc
import sys

from clearlift_adapters.cli import interrupt


def main() -> None:
    """Run this process's command line."""
    interrupt.take()
    # What is imported stays, and a batch is hundreds of thousands of objects, none of them in a
    # cycle: with the default, the collector takes a tenth of a tick to find nothing.
    gc.set_threshold(50_000, 20, 50)
    from clearlift_adapters.cli.commands import perform  # noqa: PLC0415  see above

    code = perform(sys.argv[1:])
    interrupt.ignore()
    # Nor does Python have to look for cycles three times on its way out: all of it is given back.
    gc.freeze()
    sys.exit(code)
