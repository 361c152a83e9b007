"""One database in a folder of its own, its providers, and processes that are started there."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from clearlift_engine.policy import MINUTE_MS, iso
from tests.e2e.authority import Authority, platform_of, sent_in
from tests.e2e.program import Done, Program, connect
from tests.given import NOW_MS
from tests.loopback import Visit, answer_json
from tests.steps.points import Step, read_journal
from tests.steps.processes import Running, Warm

SOON: Final = iso(NOW_MS + MINUTE_MS)
NOTHING: Final[Mapping[str, str]] = {}
LIFETIME_S: Final = 30 * 24 * 3600


class Providers(Authority):
    """Token endpoints; `acme` takes a replaced refresh token again, and gives what it gave then.

    So do real ones that rotate, for a while, because answers get lost. `tiktok` here does not.
    """

    async def grant(self, visit: Visit) -> None:
        token = sent_in(visit)
        if platform_of(visit) != "acme" or token not in self.renewed:
            await super().grant(visit)
            return
        body = {
            "access_token": self.granted[token],
            "token_type": "bearer",
            "expires_in": LIFETIME_S,
            "refresh_token": self.renewed[token],
        }
        await answer_json(200, body)(visit)

    @property
    def url(self) -> str:
        """Return where they are."""
        return self.environment["GOOGLE_TOKEN_URL"].rpartition("/")[0]

    def newest(self, token: str) -> str:
        """Return what a refresh token has been replaced by, in the end."""
        while token in self.renewed:
            token = self.renewed[token]
        return token


class Stage:
    """A database, its providers, and what the processes on it said."""

    def __init__(
        self, warm: Warm, folder: Path, providers: Providers, environment: Mapping[str, str]
    ) -> None:
        self.warm, self.folder, self.providers = warm, folder, providers
        self.program = Program(
            folder, **providers.environment, CLEARLIFT_BATCH_SIZE="2", **environment
        )
        (folder / "clearlift.toml").write_text(providers.declaration(requests_per_second=50))
        self.journal = folder / "journal"

    async def start(
        self,
        *arguments: str,
        now_ms: int = NOW_MS,
        told: Mapping[str, str] = NOTHING,
        out: str | None = None,
    ) -> Running:
        """Return the running process of one command; `told` goes into its environment."""
        environment = {**self.program.environment, "CLEARLIFT_NOW": iso(now_ms), **told}
        return await self.warm.start(self.folder, arguments, environment, out=out)

    async def run(
        self,
        *arguments: str,
        now_ms: int = NOW_MS,
        told: Mapping[str, str] = NOTHING,
        out: str | None = None,
    ) -> Done:
        """Return what came of one command."""
        running = await self.start(*arguments, now_ms=now_ms, told=told, out=out)
        return await running.ended()

    async def done(self, *arguments: str, now_ms: int = NOW_MS) -> Done:
        """Return what came of one command, which must end with 0."""
        done = await self.run(*arguments, now_ms=now_ms)
        assert done.code == 0, (arguments, done.code, done.err.decode())
        return done

    async def steps(self, *arguments: str, told: Mapping[str, str] = NOTHING) -> list[Step]:
        """Return the steps of one command."""
        await self.run(*arguments, told={**told, "STEPS_JOURNAL": str(self.journal)})
        return read_journal(self.journal)

    def add(self, *connection_ids: str) -> None:
        """Add connections: an id that begins with its platform and a hyphen is to be refreshed."""
        with self.program.tables() as tables:
            for connection_id in connection_ids:
                platform, expires, _ = connection_id.rpartition("-")
                connect(
                    tables,
                    connection_id,
                    platform=platform or "google",
                    expires_at=SOON if expires else None,
                )


@asynccontextmanager
async def stage(
    warm: Warm, room: Path, environment: Mapping[str, str], template: Path | None = None
) -> AsyncGenerator[Stage]:
    """Set up a stage in a folder within `room`, and take it down at the end."""
    folder = Path(tempfile.mkdtemp(dir=room))
    if template is not None:
        shutil.copytree(template, folder, dirs_exist_ok=True)
    providers = Providers()
    async with providers.serving():
        yield Stage(warm, folder, providers, environment)
    shutil.rmtree(folder, ignore_errors=True)
