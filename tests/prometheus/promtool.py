"""promtool, which reads rules as Prometheus does; it comes in the same package."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest


def promtool(*arguments: str, stdin: bytes = b"") -> str:
    """Run promtool to its end; return what it says, and fail if it objects."""
    program = shutil.which("promtool")
    if program is None:
        missing = "promtool is not on the PATH: it comes with Prometheus"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def written(file: Path, content: dict[str, Any]) -> Path:
    """Write what promtool is to read; it takes YAML, and JSON is YAML."""
    file.write_bytes(msgspec.json.encode(content))
    return file
