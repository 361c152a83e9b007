"""What the tests of this folder do again and again: connect, tick, consume, and look."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from clearlift_adapters.credentials import Column
from clearlift_engine.events import Event, decode
from tests.e2e.program import CIPHER, Done, Program, connect
from tests.given import NOW_MS, plain
from tests.providers.authorization import AuthorizationServer, short
from tests.seed import Value

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
EXPIRED: Final = plain(NOW_MS - HOUR)

AnEvent = TypeVar("AnEvent", bound=Event)


def configure(program: Program, declarations: str, environment: Mapping[str, str]) -> None:
    """Write the program's configuration file; the secrets go into its environment."""
    (program.folder / "clearlift.toml").write_text(declarations)
    program.environment.update(environment)


async def connect_all(
    program: Program, server: AuthorizationServer, accounts: Iterable[str], **columns: Value
) -> None:
    """Connect accounts that the server makes a grant for; their access tokens have expired."""
    configure(program, server.declaration, server.environment)
    tokens = {account: await server.seed(account) for account in accounts}
    with program.tables() as tables:
        for account, token in tokens.items():
            sealed: dict[str, Value] = {
                "platform": "acme",
                "organization_id": f"org of {account}",
                "expires_at": EXPIRED,
                "refresh_token_encrypted": CIPHER.seal(token),
                **columns,
            }
            connect(tables, account, **sealed)


async def ticks(program: Program, count: int, *, now_ms: int) -> Sequence[Done]:
    """Return what came of `count` ticks that ran at the same time."""
    runs = (program.run("tick", "--json", "-v", now_ms=now_ms) for _ in range(count))
    return await asyncio.gather(*runs)


async def consume(program: Program, *, now_ms: int) -> None:
    """Deliver what is in the outbox, and finish every job as the consumer would."""
    await program.done("relay", "--drain", now_ms=now_ms)
    with program.tables() as tables:
        for job in tables.rows("sync_jobs"):
            if job["status"] == "pending":
                tables.update_job(job["id"], status="completed")
                tables.update_connection(job["connection_id"], last_synced_at=plain(now_ms))


async def until(seen: Callable[[], bool]) -> None:
    """Return when `seen()`."""
    async with asyncio.timeout(60):
        while not seen():  # noqa: ASYNC110  another process makes it so
            await asyncio.sleep(0.02)


def states(program: Program) -> Mapping[str, str]:
    """Return each connection's state."""
    return {row["connection_id"]: row["state"] for row in program.rows("connection_state")}


def events(program: Program, kind: type[AnEvent]) -> Sequence[tuple[str, AnEvent]]:
    """Return the events of a kind with their connections, oldest first."""
    rows = [row for row in program.rows("outbox") if row["transition"] == kind.transition]
    found = [(row["connection_id"], decode(kind.transition, row["data"])) for row in rows]
    return [(each, event) for each, event in found if isinstance(event, kind)]


def stored_tokens(program: Program) -> Mapping[str, str]:
    """Return each connection's stored refresh token, as the server's requests call it."""
    rows = program.rows("platform_connections")
    return {row["id"]: called(row["refresh_token_encrypted"], row["id"]) for row in rows}


def called(field: str, connection_id: str) -> str:
    """Return what an encrypted refresh token is called in the server's requests."""
    column: Column = "refresh_token_encrypted"
    return short(CIPHER.open(field, connection_id=connection_id, column=column))


def sync_statuses(program: Program) -> set[str]:
    """Return every `sync_status` that the shared table shows."""
    return {row["sync_status"] for row in program.rows("platform_connections")}


def declared(urls: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the declarations of providers by their URLs, and the environment they refer to."""
    tables = (
        f"[providers.{name}]\n"
        f'token_url = "{url}"\n'
        'client_id = "we"\n'
        'client_secret_env = "OUR_SECRET"\n'
        "requests_per_second = 1000\n"
        for name, url in urls.items()
    )
    return "\n".join(tables), {"OUR_SECRET": "a secret of ours"}
