"""Wrangler itself, on the example's configuration; its local database is a file of the test's.

It is never logged in, sends no telemetry, and everything it does here is `--local`.
"""

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.workerd.npm import node

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "consumer-worker"

_ENVIRONMENT: Final = {"WRANGLER_SEND_METRICS": "false", "CI": "true", "NO_COLOR": "1"}
_NOT_INHERITED: Final = ("CLOUDFLARE_", "NODE_OPTIONS", "WRANGLER_", "XDG_")


class Wrangler:
    """The program, a home of its own, and the local state that it keeps."""

    def __init__(self, packages: Path, folder: Path) -> None:
        self._program = packages / "wrangler" / "bin" / "wrangler.js"
        self._folder, self._state = folder, folder / "state"
        inherited = {
            name: text for name, text in os.environ.items() if not name.startswith(_NOT_INHERITED)
        }
        self._environment = {**inherited, **_ENVIRONMENT, "HOME": str(folder)}

    @property
    def file(self) -> Path:
        """Return the SQLite file of the local database; it is there after the first command."""
        folder = self._state / "v3" / "d1" / "miniflare-D1DatabaseObject"
        [file] = [path for path in folder.glob("*.sqlite") if path.stem != "metadata"]
        return file

    def migrate(self) -> str:
        """Apply what is pending, and return what wrangler says to that."""
        return self._d1("migrations", "apply", "clearlift")

    def pending(self) -> str:
        """Return what wrangler says of what is pending."""
        return self._d1("migrations", "list", "clearlift")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of one statement."""
        printed = self._d1("execute", "clearlift", "--json", "--command", sql)
        [outcome] = msgspec.json.decode(printed)
        rows: list[dict[str, Any]] = outcome["results"]
        return rows

    def build(self, project: Path) -> str:
        """Return what wrangler says of a Worker that it would deploy."""
        return self._run("deploy", "--dry-run", "--config", str(project / "wrangler.toml"))

    def help(self, *command: str) -> str:
        """Return what wrangler says of one of its commands."""
        return self._run(*command, "--help")

    def _d1(self, *arguments: str) -> str:
        config = str(EXAMPLE / "wrangler.toml")
        where = ("--local", "--persist-to", str(self._state), "--config", config)
        return self._run("d1", *arguments, *where)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [node(), self._program, *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()
