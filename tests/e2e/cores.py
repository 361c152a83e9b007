"""A process that stands still with everything at hand, and the whole of its memory, as a core dump.

The kernel writes it where it is told to write a file; elsewhere the same memory is read from /proc.
"""

import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PATTERN: Final = Path("/proc/sys/kernel/core_pattern")
STOPPED: Final = "stopped"

# Stops the process when its work is done and nothing is thrown away yet. The command line binds
# the function's name when it is loaded, and that is later.
STANDSTILL: Final = """
import pathlib, signal, sys
import clearlift_engine.{module} as module

work = module.{function}

async def stopping(*arguments, **named):
    report = await work(*arguments, **named)
    pathlib.Path("stopped").touch()
    signal.pause()
    return report

module.{function} = stopping
"""


class NoDumpError(Exception):
    """There is no way to a core dump here."""


def dumped(arguments: list[str], folder: Path, work: str, environment: Mapping[str, str]) -> bytes:
    """Run a command until `work`, MODULE.FUNCTION of the engine, is done; return its memory.

    Raises:
        NoDumpError: neither the kernel writes one nor lets us read the memory.
    """
    module, _, function = work.partition(".")
    hook = folder / f"hook of {work}"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(STANDSTILL.format(module=module, function=function))
    (folder / STOPPED).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "clearlift_adapters.cli", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(hook)},
    )
    try:
        while not (folder / STOPPED).exists():
            assert process.poll() is None, "it ended before it stood still"
            time.sleep(0.01)
        return _filled(_memory(process, folder))
    finally:
        process.kill()
        process.wait()


def _memory(process: "subprocess.Popen[bytes]", folder: Path) -> bytes:
    if PATTERN.exists() and PATTERN.read_text().strip() == "core":
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        try:
            resource.prlimit(process.pid, resource.RLIMIT_CORE, unlimited)
        except (ValueError, PermissionError):
            pass  # The hard limit is lower.
        else:
            os.kill(process.pid, signal.SIGABRT)
            process.wait()
            [core] = folder.glob("core*")
            memory = core.read_bytes()
            core.unlink()
            return memory
    return _by_reading(process.pid)


def _by_reading(pid: int) -> bytes:
    """Return what the kernel would write: all that the process may write to itself."""
    regions = Path(f"/proc/{pid}/maps").read_text().splitlines()
    private = [line.split(" ")[0].split("-") for line in regions if " rw-p " in line]
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            return b"".join(
                os.pread(memory.fileno(), int(end, 16) - int(begin, 16), int(begin, 16))
                for begin, end in private
            )
    except OSError as exc:
        raise NoDumpError(f"no core file is written here, and memory is closed: {exc}") from exc


def _filled(memory: bytes) -> bytes:
    """Return it without the pages that hold nothing: a third of them."""
    pages = (memory[at : at + mmap.PAGESIZE] for at in range(0, len(memory), mmap.PAGESIZE))
    return b"".join(page for page in pages if page.strip(b"\0"))
