"""The library that is put before libc (shim.c), and whether this machine can build it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).parent / "shim.c"


class MissingError(Exception):
    """Steps cannot be counted on this machine, and why."""


def built(folder: Path) -> Path:
    """Build the library in a folder; return its path.

    Raises:
        MissingError: there is no Linux, or no C compiler.
    """
    if sys.platform != "linux":
        raise MissingError("steps are counted on Linux only")
    if shutil.which("gcc") is None:
        raise MissingError("gcc is not installed, and the library that counts steps is in C")
    library = folder / "shim.so"
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread")
    subprocess.run(["gcc", *flags, "-o", library, SOURCE, "-ldl"], check=True)
    return library


def built_or_skipped(folder: Path) -> Path:
    """Build the library for a test, which is skipped where that is impossible, but not in CI."""
    try:
        return built(folder)
    except MissingError as exc:
        if "CI" in os.environ:
            pytest.fail(f"CI must count steps: {exc}")
        pytest.skip(str(exc))


@contextmanager
def room() -> Generator[Path]:
    """Have a folder where files cost no disk, if there is one: a kill needs none to be real."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)
