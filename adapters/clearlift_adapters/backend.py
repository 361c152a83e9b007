"""Opens what the settings name: a database with everything in it, and a queue.

A new kind of database or queue is one more branch here and a folder or file of its own. What goes
over HTTP is imported only where a URL asks for it, and what only some commands ask for when they
do: cron pays for each import every few minutes.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from clearlift_adapters.ids import new_id
from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.queues.inbox import Inbox
from clearlift_adapters.queues.sqlite import SqliteQueue
from clearlift_adapters.stores.database import Mode, SqliteDatabase
from clearlift_adapters.stores.operation import (
    SqliteJournal,
    SqliteLeases,
    SqliteSurvey,
    SqliteVault,
)
from clearlift_adapters.stores.sql import Database
from clearlift_adapters.stores.sqlite import SqliteStore
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.events import Level
from clearlift_engine.ports import (
    Clock,
    Depth,
    Journal,
    Leases,
    Limits,
    Message,
    Queue,
    Receipt,
    Store,
    Survey,
    Vault,
)

if TYPE_CHECKING:
    from clearlift_adapters.cloudflare.api import CloudflareApi
    from clearlift_adapters.stores.connections import SqliteConnections
    from clearlift_adapters.stores.keyring import SqliteKeyring
    from clearlift_engine.notices import Notices
    from clearlift_engine.overview import Monitor
    from clearlift_engine.ports import Archive
    from clearlift_engine.questions import Questions

REMOTE_GATHER_MS: Final = 1_000
REMOTE_CLAIMS_MAX: Final = 100
_TWO_IDS: Final = r"(?a)\w+://([\w-]+)/([\w-]+)/?"
NO_QUEUE: Final = "no queue is named: set CLEARLIFT_QUEUE or --queue, for example cloudflare://ACCOUNT_ID/QUEUE_ID"


class Cloudflare(msgspec.Struct, frozen=True):
    """What it takes to call Cloudflare's REST API."""

    token: str | None
    base_url: str
    clock: Clock
    deadline_s: float = 40.0  # Of one request; D1 itself gives up after 30.

    def __repr__(self) -> str:
        return f"Cloudflare({self.base_url!r})"


class Backend(msgspec.Struct, frozen=True):
    """Everything behind one database URL and one queue URL."""

    db: Database
    store: Store
    survey: Survey
    vault: Vault
    journal: Journal
    leases: Leases
    queue: Queue

    @property
    def archive(self) -> "Archive":
        """Return the log and what it explains, as `replay` reads them."""
        if isinstance(self.db, SqliteDatabase):
            from clearlift_adapters.stores.archive import SqliteArchive  # noqa: PLC0415  see above

            return SqliteArchive(self.db)
        from clearlift_adapters.stores.paged import PagedArchive  # noqa: PLC0415  see above

        return PagedArchive(self.db)

    @property
    def monitor(self) -> "Monitor":
        """Return the facts of the whole, for operators."""
        from clearlift_adapters.stores.monitor import SqlMonitor  # noqa: PLC0415  see above

        return SqlMonitor(self.db)

    @property
    def questions(self) -> "Questions":
        """Return the answers to operators' questions."""
        from clearlift_adapters.stores.questions import SqlQuestions  # noqa: PLC0415  see above

        return SqlQuestions(self.db)

    @property
    def notices(self) -> "Notices":
        """Return what was told already."""
        from clearlift_adapters.stores.notices import SqlNotices  # noqa: PLC0415  see above

        return SqlNotices(self.db)

    @property
    def connections(self) -> "SqliteConnections":
        """Return the rows of the API worker's connections, one by one."""
        from clearlift_adapters.stores.connections import SqliteConnections  # noqa: PLC0415  see above

        return SqliteConnections(self.db)

    @property
    def keyring(self) -> "SqliteKeyring":
        """Return what is encrypted under which key."""
        from clearlift_adapters.stores.keyring import SqliteKeyring  # noqa: PLC0415  see above

        return SqliteKeyring(self.db)

    @property
    def gather_ms(self) -> int:
        """Return how long answers wait for others before a commit: on D1 each commit is a request,
        and requests are counted.
        """
        return 0 if isinstance(self.db, SqliteDatabase) else REMOTE_GATHER_MS

    @property
    def claims_max(self) -> int:
        """Return how many refreshes may be claimed at a time: on a file, where a claim costs
        nothing, as few as the engine likes best.
        """
        return 0 if isinstance(self.db, SqliteDatabase) else REMOTE_CLAIMS_MAX

    @property
    def inbox(self) -> Inbox:
        """Return the consumer's side of the embedded queue.

        Raises:
            ConfigurationError: the queue is another one; its consumer has means of its own.
        """
        if isinstance(self.queue, SqliteQueue):
            return self.queue
        raise ConfigurationError(
            "only the embedded queue can be looked into: leave --queue and CLEARLIFT_QUEUE out, or "
            "use the means of the queue that they name"
        )


@asynccontextmanager
async def open_backend(
    database: str,
    queue: str | None = None,
    *,
    mode: Mode = "rw",
    cloudflare: Cloudflare | None = None,
) -> AsyncGenerator[Backend]:
    """Open a database and a queue by their URLs; the queue of a file is a table in it by default.

    Raises:
        ConfigurationError: a URL that nothing here speaks, no such file, a token that is missing.
        UnavailableError: the database does not answer.
    """
    async with AsyncExitStack() as stack:
        remote = _scheme(database) == "d1" or _scheme(queue or "") == "cloudflare"
        api = await _api(stack, cloudflare) if remote else None
        db = await _database(stack, database, mode, api)
        yield Backend(
            db,
            _store(db, mode),
            SqliteSurvey(db),
            SqliteVault(db),
            SqliteJournal(db),
            SqliteLeases(db),
            _queue(queue, database, db, api),
        )


async def _database(
    stack: AsyncExitStack, url: str, mode: Mode, api: "CloudflareApi | None"
) -> Database:
    if _scheme(url) == "d1":
        from clearlift_adapters.stores.d1 import D1Database  # noqa: PLC0415  it loads httpx

        assert api is not None
        return D1Database(api, *_ids(url))
    return await stack.enter_async_context(SqliteDatabase.open(sqlite_path(url), mode))


def _store(db: Database, mode: Mode) -> Store:
    if isinstance(db, SqliteDatabase):
        return SqliteStore(db)
    from clearlift_adapters.stores.d1_store import D1Store  # noqa: PLC0415  see above

    return D1Store(db, mends=mode != "ro")


def _queue(url: str | None, database: str, db: Database, api: "CloudflareApi | None") -> Queue:
    if url is None or url == database:
        return SqliteQueue(db, new_id) if _scheme(database) == "sqlite" else NoQueue()
    if _scheme(url) == "cloudflare":
        from clearlift_adapters.queues.cloudflare import CloudflareQueue  # noqa: PLC0415  it loads httpx

        assert api is not None
        return CloudflareQueue(api, *_ids(url))
    raise ConfigurationError(
        f"cannot use {_scheme(url)}:// as a queue: use cloudflare://ACCOUNT_ID/QUEUE_ID, or "
        "leave --queue out to use the table in a SQLite database"
    )


class NoQueue:
    """In the place of a queue that nobody has named: many commands never ask for it."""

    name: str = "none"
    level: Level = "at_least_once"
    limits: Limits = Limits(1, 1)

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        del messages
        raise ConfigurationError(NO_QUEUE)

    async def depth(self) -> Depth:
        raise ConfigurationError(NO_QUEUE)


async def _api(stack: AsyncExitStack, cloudflare: Cloudflare | None) -> "CloudflareApi":
    """Return the one client for database and queue: the request budget is theirs together."""
    from clearlift_adapters.cloudflare.api import CloudflareApi  # noqa: PLC0415  it loads httpx

    if cloudflare is None or cloudflare.token is None:
        raise ConfigurationError(
            "CLOUDFLARE_API_TOKEN is not set: make a token with the permissions D1 Edit and Queues "
            "Edit, and set it, or CLOUDFLARE_API_TOKEN_FILE"
        )
    api = CloudflareApi(
        token=cloudflare.token,
        base_url=Endpoint(cloudflare.base_url, "CLOUDFLARE_API_BASE_URL").url,
        clock=cloudflare.clock,
        deadline_s=cloudflare.deadline_s,
    )
    return await stack.enter_async_context(api)


def _ids(url: str) -> tuple[str, str]:
    """Return the two ids of a Cloudflare URL."""
    found = re.fullmatch(_TWO_IDS, url)
    if found is None:
        kind = _scheme(url)
        raise ConfigurationError(
            f"a {kind} URL has two ids, of letters and digits: {kind}://ACCOUNT_ID/"
            f"{'DATABASE_ID' if kind == 'd1' else 'QUEUE_ID'}"
        )
    return found[1], found[2]


def sqlite_path(url: str) -> Path:
    """Return the file that a `sqlite:///` URL names: three slashes relative, four absolute."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise ConfigurationError(
            f"cannot open a database of the kind {_scheme(url)}://: use sqlite:///FILE or "
            "d1://ACCOUNT_ID/DATABASE_ID"
        )
    if parts.netloc or len(parts.path) < len("/x"):
        raise ConfigurationError(
            "a SQLite URL has three slashes and a relative path (sqlite:///clearlift.db), or four "
            "and an absolute one (sqlite:////var/lib/clearlift.db)"
        )
    if "?" in url or "#" in url:
        raise ConfigurationError("a SQLite URL has no options: write ? as %3F and # as %23")
    return Path(unquote(parts.path[1:]))


def _scheme(url: str) -> str:
    """Return the part of a URL that is no secret."""
    return url.partition("://")[0][:32]
