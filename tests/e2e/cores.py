"""A process that stands still with everything at hand, and the whole of its memory, as a core dump.

The kernel writes it where it is told to write a file; elsewhere gdb's gcore does.
"""

import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
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
        NoDumpError: neither the kernel nor gdb makes one.
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
        return _memory(process, folder)
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
            return _content(core)
    return _by_gdb(process.pid, folder)


def _by_gdb(pid: int, folder: Path) -> bytes:
    if shutil.which("gcore") is None:
        raise NoDumpError("the kernel writes no core file here, and there is no gcore (of gdb)")
    prefix = folder / "gcore"
    done = subprocess.run(["gcore", "-o", prefix, str(pid)], capture_output=True, check=False)
    if done.returncode != 0:
        raise NoDumpError("gcore may not look into a process here")
    return _content(Path(f"{prefix}.{pid}"))


def _content(core: Path) -> bytes:
    """Return a dump without the pages that hold nothing: a third of it."""
    memory = core.read_bytes()
    core.unlink()
    pages = (memory[at : at + mmap.PAGESIZE] for at in range(0, len(memory), mmap.PAGESIZE))
    return b"".join(page for page in pages if page.strip(b"\0"))
