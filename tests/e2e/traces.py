"""Runs that succeed and runs that fail, with real-looking secrets, and all that they leave behind.

Each story has its own folder. What is kept of it: what its processes wrote to both streams, how
the list of processes showed them, what they sent, and all files of the folder, while somebody
else has the database open, so that the write-ahead log is there to be searched.
"""

import resource
import shutil
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.policy import HOUR_MS, MINUTE_MS, iso
from tests.e2e import canaries
from tests.e2e.authority import Authority, sent_in
from tests.e2e.program import Done, Program, ended
from tests.given import NOW_MS
from tests.loopback import Visit, answer, answer_json
from tests.seed import Value

CIPHER: Final = FieldCipher(canaries.KEY)
PLATFORMS: Final = ("google", "facebook", "tiktok", "acme")
TABLES: Final = (
    *("outbox", "connection_state", "sync_jobs", "queue_messages", "runs", "provider_gates"),
    *("leases", "connection_settings", "credential_seals", "audit_seals"),
)
SMALL_FILE: Final = 8192  # Bytes: more than rescued tokens need, less than any database.

# As careless as a program can be: it puts all it has at hand into the text of an exception.
SABOTAGE: Final = """
from clearlift_adapters.oauth import refresher

def broken(self, provider, credentials, token, granted, asked_at):
    raise RuntimeError(f"cannot seal {granted!r} over {credentials!r} for {provider!r}: {self!r}")

refresher.HttpTokenRefresher._sealed = broken
"""


@dataclass
class Traces:
    """What one story has left."""

    done: dict[str, Done] = field(default_factory=dict[str, Done])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    tables: dict[str, bytes] = field(default_factory=dict[str, bytes])
    arguments: set[bytes] = field(default_factory=set[bytes])
    visits: Sequence[Visit] = ()
    tokens: set[str] = field(default_factory=set[str])  # Old and new.
    sealed: set[str] = field(default_factory=set[str])  # Every ciphertext that ever was stored.

    @property
    def secrets(self) -> set[bytes]:
        """Return everything that must not be found."""
        return {*canaries.SET, *(token.encode() for token in self.tokens)}

    @property
    def spoken(self) -> Mapping[str, bytes]:
        """Return what the processes wrote to their streams."""
        both = {f"{name}, stdout": done.out for name, done in self.done.items()}
        return {**both, **{f"{name}, stderr": done.err for name, done in self.done.items()}}


class Stage:
    """A program, its providers and its connections, and an eye on all of it."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority = authority
        self.program = Program(folder, **{**authority.environment, **canaries.SETTINGS})
        self.traces = Traces()
        self.running: Process | None = None
        declared = authority.declaration(requests_per_second=50) + 'auth = "basic"\n'
        (folder / "clearlift.toml").write_text(declared)

    def expiring(self, platforms: Mapping[str, str]) -> None:
        """Add expiring connections: each with its platform."""
        with self.program.tables() as tables:
            for name, platform in platforms.items():
                access, refresh = canaries.access_token(name), canaries.refresh_token(name)
                columns: dict[str, Value] = {
                    "organization_id": f"organization of {name}",
                    "platform": platform,
                    "expires_at": iso(NOW_MS + MINUTE_MS),
                    "credentials_encrypted": CIPHER.seal(access),
                    "refresh_token_encrypted": CIPHER.seal(refresh),
                }
                self.traces.tokens |= {access, refresh}
                tables.add_connection(name, **columns)

    async def run(self, *arguments: str, stdin: str | None = None, **environment: str) -> Done:
        """Run a command, as talkative as it can be, and keep what it said."""
        process = await self.program.start(*arguments, "-vv", now_ms=NOW_MS, **environment)
        self.running = process
        done = await ended(process, stdin)
        self.traces.done[f"{arguments[0]} #{len(self.traces.done)}"] = done
        return done

    def look(self) -> None:
        """Note how the list of processes shows the one that runs."""
        assert self.running is not None
        shown = Path(f"/proc/{self.running.pid}/cmdline")
        if shown.parent.parent.exists():  # There is none on some systems.
            self.traces.arguments.add(shown.read_bytes())

    def collect(self) -> None:
        """Keep what the folder holds now; a file that has gone since stays kept."""
        authority, traces = self.authority, self.traces
        for table in TABLES:
            traces.tables[table] = repr(self.program.rows(table)).encode()
        for row in self.program.rows("platform_connections"):
            columns = ("credentials_encrypted", "refresh_token_encrypted")
            traces.sealed |= {row[column] for column in columns if row[column]}
        for file in sorted(self.program.folder.rglob("*")):
            if file.is_file():
                traces.files[f"{file.name} #{len(traces.files)}"] = _content(file)
        traces.visits = authority.visits
        traces.tokens |= {*authority.granted.values(), *authority.renewed.values()}


def _content(file: Path) -> bytes:
    """Read a file in another process: closing it in this one would end the locks that SQLite has
    on it here (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    return subprocess.run(["cat", file], stdout=subprocess.PIPE, check=True).stdout


Story = Callable[[Stage], Awaitable[None]]


async def told(story: Story, folder: Path, empty_database: Path) -> Traces:
    """Return what a story leaves behind."""
    authority = Authority()
    async with authority.serving():
        stage = Stage(folder, authority)
        shutil.copy(empty_database, stage.program.file)
        with closing(sqlite3.connect(stage.program.file)) as other:
            other.execute("SELECT count(*) FROM outbox").fetchall()
            stage.expiring({name: name for name in PLATFORMS})
            stage.collect()
            await story(stage)
            stage.collect()
        return stage.traces


async def all_is_well(stage: Stage) -> None:
    """Connect, tick, relay, and look at everything."""
    tokens = canaries.access_token("typed"), canaries.refresh_token("typed")
    stage.traces.tokens |= {*tokens}
    account = ("--organization", "o", "--account-id", "1", "--expires-at", iso(NOW_MS + HOUR_MS))

    async def look(visit: Visit) -> None:
        stage.look()
        await stage.authority.grant(visit)

    stage.authority.otherwise = {canaries.refresh_token("google"): look}
    await stage.run("connections", "add", "google", *account, stdin="\n".join(tokens))
    await stage.run("tick", "--dry-run", "--json")
    await stage.run("tick", "--json")
    await stage.run("relay", "--drain")
    for command in ("connections list", "connections show google", "queue list", "replay google"):
        await stage.run(*command.split())


async def everything_is_looked_after(stage: Stage) -> None:
    """Let every command work that holds a key or a token, or tells how things are set."""
    with stage.program.tables() as tables:
        old = FieldCipher(canaries.PREVIOUS_KEY).seal(canaries.access_token("google"))
        tables.update_connection("google", credentials_encrypted=old)
    stage.traces.sealed.add(old)
    (stage.program.folder / "secret").write_text(canaries.API_TOKEN)
    from_file = {"CLOUDFLARE_API_TOKEN": "", "CLOUDFLARE_API_TOKEN_FILE": "secret"}
    await stage.run("keys", "verify", "--json")
    await stage.run("keys", "rotate")
    await stage.run("tick")
    await stage.run("audit", "seal", "--out", "seals.jsonl")
    await stage.run("doctor", "--json", **from_file)
    await stage.run("doctor")
    await stage.run("tick", f"--encryption-key={canaries.KEY}")
    await stage.run("pause", "google", "--reason", canaries.API_TOKEN, **from_file)
    (stage.program.folder / "secret").unlink()


async def the_key_is_wrong(stage: Stage) -> None:
    await stage.run("tick", ENCRYPTION_KEY=canaries.OTHER_KEY)
    await stage.run("tick", ENCRYPTION_KEY=canaries.KEY[:-4], ENCRYPTION_KEY_PREVIOUS="")
    await stage.run("tick", ENCRYPTION_KEY=canaries.KEY.lower() + canaries.KEY)
    file = stage.program.folder / "key"
    file.write_text(canaries.KEY + "\n" + canaries.OTHER_KEY)
    await stage.run("tick", ENCRYPTION_KEY="", ENCRYPTION_KEY_FILE=str(file))
    file.unlink()


async def providers_say_too_much(stage: Stage) -> None:
    """Refuse every grant, and tell the world what was sent."""

    async def echo(visit: Visit) -> None:
        stage.look()
        sent = " ".join([*visit.form.values(), visit.headers.get("authorization", "")])
        body = {
            "error": "invalid_grant",
            "error_description": f"no such grant: {sent}",
            "log_id": sent_in(visit),
        }
        await answer_json(400, body)(visit)

    stage.authority.otherwise = dict.fromkeys(stage.traces.tokens, echo)
    await stage.run("tick", "--json")
    for command in ("connections list", "connections show google --json", "replay google"):
        await stage.run(*command.split())


async def providers_break_down(stage: Stage) -> None:
    """Answer with a page that shows the whole request."""

    async def page(visit: Visit) -> None:
        sent = "<li>".join([*visit.form.values(), visit.headers.get("authorization", "")])
        html = f"<html><h1>500 Internal Server Error</h1><ul><li>{sent}</ul></html>"
        await answer(500, html.encode(), {"Content-Type": "text/html"})(visit)

    stage.authority.otherwise = dict.fromkeys(stage.traces.tokens, page)
    await stage.run("tick")


async def the_program_crashes(stage: Stage) -> None:
    """Break where most is at hand in the clear, and have the traceback printed."""
    folder = stage.program.folder / "sabotage"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SABOTAGE)
    await stage.run("tick", PYTHONPATH=str(folder))


async def the_disk_is_full(stage: Stage) -> None:
    """Let files grow no more when the first answer comes: the new tokens go to rescue."""

    async def fill(visit: Visit) -> None:
        assert stage.running is not None
        limit = (SMALL_FILE, resource.RLIM_INFINITY)
        resource.prlimit(stage.running.pid, resource.RLIMIT_FSIZE, limit)
        await stage.authority.grant(visit)

    # More than one claim takes: the second one fails, and with it ends the wait for a better disk.
    stage.expiring({f"another {number}": "acme" for number in range(25)})
    stage.authority.otherwise = dict.fromkeys(stage.traces.tokens, fill)
    await stage.run("tick")
    stage.collect()
    stage.authority.otherwise = {}
    await stage.run("tick")


STORIES: Final[Mapping[str, Story]] = {
    story.__name__: story
    for story in (
        all_is_well,
        everything_is_looked_after,
        the_key_is_wrong,
        providers_say_too_much,
        providers_break_down,
        the_program_crashes,
        *((the_disk_is_full,) if sys.platform == "linux" else ()),  # Others have no prlimit.
    )
}
