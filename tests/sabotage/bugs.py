"""Bugs that the simulation cannot meet, as it has no SQL, no files and no HTTP; who finds each.

A bug is planted in a process of its own, before anything else is imported: a few words of a query
or of the schema, or a name of a module. The tests that have to find it stand beside it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import astuple, fields, replace

from clearlift_adapters import migrations
from clearlift_adapters.stores import queries

if TYPE_CHECKING:  # Nothing that binds a query may be imported before a bug is planted.
    from clearlift_adapters.stores.database import Transaction
    from clearlift_engine.ports import Commit

Make = Callable[[Any], object]


class InSql(NamedTuple):
    """Other words in a query file, wherever the first ones stand in a query."""

    query: str
    there: str
    instead: str
    file: str = "store.sql"

    def plant(self) -> None:
        real = queries.load

        def load(file: str) -> Mapping[str, str]:
            statements = dict(real(file))
            if file == self.file:
                assert self.there in statements[self.query], "the query has other words by now"
                changed = statements[self.query].replace(self.there, self.instead)
                statements[self.query] = changed
            return statements

        queries.load = load


class InSchema(NamedTuple):
    """Other words in a migration."""

    there: str
    instead: str
    name: str = "statements"  # What takes a migration apart.

    def plant(self) -> None:
        real: Callable[[str], object] = getattr(migrations, self.name)

        def statements(script: str) -> object:
            return real(script.replace(self.there, self.instead))

        setattr(migrations, self.name, statements)


class InModule(NamedTuple):
    """Something else under a name, or under one of a class, in a module."""

    module: str
    name: str
    make: Make

    def plant(self) -> None:
        owner: object = import_module(self.module)
        *classes, name = self.name.split(".")
        for each in classes:
            owner = getattr(owner, each)
        setattr(owner, name, self.make(getattr(owner, name)))


class Bug(NamedTuple):
    """What is planted, and which tests are to find it."""

    changes: Sequence[InSql | InSchema | InModule]
    found_by: Sequence[str]


def becomes(value: object) -> Make:
    def make(_: object) -> object:
        return value

    return make


def returns(value: object) -> Make:
    """Return a function that returns one and the same, whatever it is given."""

    def returned(*_args: object, **_kwargs: object) -> object:
        return value

    return becomes(returned)


def returns_argument(number: int) -> Make:
    """Return a function that returns what it is given."""

    def returned(*args: object, **_: object) -> object:
        return args[number]

    return becomes(returned)


def following(real: Callable[..., Awaitable[Any]]) -> object:
    """Send the form again, to wherever an answer points."""

    async def send(exchange: object, request: Any, leaves: object) -> object:  # noqa: ANN401  theirs
        answer = await real(exchange, request, leaves)
        if "location" not in answer[1]:
            return answer
        endpoint = replace(request.endpoint, url=answer[1]["location"])
        return await real(exchange, replace(request, endpoint=endpoint), leaves)

    return send


def and_location(headers: frozenset[str]) -> object:
    return headers | {"location"}


def without_clause(clause: str) -> Make:
    """Return the due rule with one clause less."""

    def make(clauses: Mapping[str, object]) -> object:
        return {name: says_no for name, says_no in clauses.items() if name != clause}

    return make


def hasty(pragmas: Sequence[str]) -> object:
    """Sync the log now and then only."""
    return ("PRAGMA synchronous = NORMAL", *pragmas[1:])


def one_commit_each(real: Callable[[Any, Sequence[object]], list[int]]) -> object:
    """Commit each step by itself."""

    commit, begin = (queries.Query(word, word) for word in ("COMMIT", "BEGIN IMMEDIATE"))

    def write(transaction: object, steps: Sequence[object]) -> list[int]:
        changed: list[int] = []
        for step in steps:
            changed += real(transaction, [step, (commit, [()]), (begin, [()])])[:1]
        return changed

    return write


def jobs_of_all(real: Callable[..., "Sequence[Commit] | None"]) -> object:
    """Insert the job of a commit that is lost too."""

    def append(transaction: "Transaction", **batch: object) -> "Sequence[Commit] | None":
        missed = real(transaction, **batch)
        jobs = [each.job for each in missed or () if each.job is not None]
        for job in jobs:
            names = [field.name for field in fields(job)]
            enter = queries.bind(queries.load("sqlite.sql"), "enter_job", *names)
            transaction.write([(enter, [astuple(job)])])
        return missed

    return append


class Kept:
    """What looks like a connection of its own, and comes from a pool."""

    def __init__(self, pool: Any) -> None:  # noqa: ANN401  httpcore's
        self._pool, self._response = pool, None

    async def handle_async_request(self, request: object) -> object:
        self._response = await self._pool.handle_async_request(request)
        return self._response

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()


def keeping(real: Callable[..., object]) -> object:
    """Send requests over connections that were used before."""

    def way_to(*args: object) -> object:
        def create_connection(_origin: object) -> Kept:
            return Kept(real(*args))

        return SimpleNamespace(create_connection=create_connection)

    return way_to


def without_close(headers: Sequence[tuple[str, str]]) -> object:
    """Do not say that a connection is not used again."""
    return [pair for pair in headers if pair[0] != "Connection"]


def in_guards(there: str, instead: str) -> Sequence[InSql]:
    """Return other words in what has to hold for a commit, wherever it is asked."""
    return [InSql(query, there, instead) for query in ("fits", "append_entry")]


_APPEND: Final = "tests/conformance/test_append.py"
_JOBS: Final = "tests/conformance/test_append_jobs.py"
_TOKENS: Final = "tests/conformance/test_append_tokens.py"
_DUE: Final = "tests/conformance/test_due.py"
_DATABASE: Final = "clearlift_adapters.stores.database"
_OF_S: Final = "(SELECT s.hash FROM connection_state AS s WHERE s.connection_id = :connection_id)"
_OF_R: Final = _OF_S.replace(":", "r.")

BUGS: Final[Mapping[str, Bug]] = {
    "append is not guarded by the hash": Bug(
        in_guards(f"{_OF_R} IS r.seen_hash", "r.seen_hash IS r.seen_hash"), [_APPEND]
    ),
    "append is not guarded by the version": Bug(
        [
            *in_guards(f"{_OF_R} IS r.seen_hash", "r.seen_hash IS r.seen_hash"),
            *in_guards("AND o.version = r.version", "AND o.version = r.version + 10"),
        ],
        [_APPEND],
    ),
    "versions need not be unique": Bug(
        [InSchema("  UNIQUE (connection_id, version),\n", "")],
        ["tests/sqlite/test_outbox_guards.py"],
    ),
    "the log may be changed": Bug(
        [InSchema("BEFORE UPDATE ON outbox", "BEFORE UPDATE OF position ON outbox")],
        ["tests/sqlite/test_outbox_guards.py"],
    ),
    "open-job limit dropped from the append": Bug(
        in_guards("> r.open_since_s", "> r.open_since_s + 9e15"), [_JOBS]
    ),
    "job of a lost commit inserted": Bug(
        [
            InModule("clearlift_adapters.stores.sqlite", "_append", jobs_of_all),
        ],
        [_JOBS],
    ),
    "nobody asks whether a commit holds": Bug(
        [InSql("fits", "FROM r WHERE", "FROM r WHERE true OR")], [_APPEND]
    ),
    "rotated token dropped in SQL": Bug(
        [
            InSql(
                "store_tokens",
                "coalesce(:refresh, refresh_token_encrypted)",
                "coalesce(refresh_token_encrypted, :refresh)",
            )
        ],
        [_TOKENS],
    ),
    "zombie stores tokens": Bug(
        [InSql("store_tokens", f"{_OF_S} IS :seen_hash", ":seen_hash IS :seen_hash")], [_TOKENS]
    ),
    "user's new token overwritten in SQL": Bug(
        [InSql("store_tokens", "IS :old_refresh", "IS NOT x'00' AND :old_refresh IS NOT x'00'")],
        [_TOKENS],
    ),
    "times compared as texts": Bug(
        [
            InSql(
                "due",
                "coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', "
                "c.last_synced_at, NULL)), -1) <= :synced_before_s",
                "coalesce(c.last_synced_at, '') <= datetime(:synced_before_s, 'unixepoch')",
            )
        ],
        [_DUE, "tests/known_defects/test_selection.py"],
    ),
    "fair share dropped": Bug(
        [InSql("due", "ORDER BY turn, synced_s", "ORDER BY synced_s")], [_DUE]
    ),
    "`syncing` ignored": Bug(
        [
            InSql("due", "c.sync_status IS NOT 'syncing'", "TRUE"),
            InModule("clearlift_engine.policy", "_CLAUSES", without_clause("syncing")),
        ],
        [_DUE],
    ),
    "retry_at ignored in SQL": Bug(
        [
            InSql("due", "s.retry_at <= :now_ms", "s.retry_at IS NOT NULL"),
            InModule("clearlift_engine.policy", "_CLAUSES", without_clause("backoff")),
        ],
        [_DUE],
    ),
    "dead grant asked again": Bug(
        [
            InSql("due", "OR (s.state = 'failed' AND (", "OR (s.state = 'failed' AND (TRUE OR "),
            InModule(
                "clearlift_engine.policy",
                "_CLAUSES",
                without_clause("needs_reconnect"),
            ),
        ],
        [_DUE, "tests/known_defects/test_tokens.py"],
    ),
    "message made of today's row": Bug(
        [
            InSql(
                "waiting",
                "SELECT o.data FROM outbox",
                "SELECT json_set(o.data, '$.message.account_id', (SELECT c.account_id FROM "
                "platform_connections AS c WHERE c.id = o.connection_id)) FROM outbox",
            )
        ],
        ["tests/conformance/test_waiting.py"],
    ),
    "message replaced by one that comes again": Bug(
        [
            InSql(
                "enter_message",
                "ON CONFLICT (job_id) DO NOTHING",
                "ON CONFLICT (job_id) DO UPDATE SET body = excluded.body",
                "sqlite.sql",
            )
        ],
        [_JOBS],
    ),
    "consumer's failure taken back": Bug(
        [InSql("clear_failed", "sync_error GLOB 'Token refresh failed: *'", "TRUE")], [_JOBS]
    ),
    "a commit for each table": Bug(
        [InModule(_DATABASE, "Transaction.write", one_commit_each)],
        ["tests/sqlite/test_transactions.py"],
    ),
    "busy timeout 0": Bug(
        [InModule(_DATABASE, "BUSY_MS", becomes(0))],
        ["tests/trouble/test_table.py", "tests/sqlite/test_races.py"],
    ),
    "commits that no sync makes durable": Bug(
        [InModule(_DATABASE, "_PRAGMAS", hasty)],
        ["tests/sqlite/test_database.py"],
    ),
    "a replaced file is written on": Bug(
        [InModule("clearlift_adapters.stores.refusals", "Place.check", returns(None))],
        ["tests/trouble/test_moved.py"],
    ),
    "hash chain not checked": Bug(
        [InModule("clearlift_engine.audit", "_is_chained", returns(value=True))],
        ["tests/unit/test_replay.py"],
    ),
    "projection not compared": Bug(
        [InModule("clearlift_engine.audit", "_compare_projection", returns(None))],
        ["tests/unit/test_replay.py"],
    ),
    "Retry-After lost": Bug(
        [InModule("clearlift_adapters.oauth.verdicts", "retry_after_ms", returns(None))],
        ["tests/unit/test_verdicts.py", "tests/unit/test_refresher.py"],
    ),
    "a wave believed at once": Bug(
        [InModule("clearlift_engine.judge", "WAVE_MIN", becomes(10**9))],
        ["tests/unit/test_wave.py"],
    ),
    "breaker never opens": Bug(
        [InModule("clearlift_engine.judge", "stumbled", returns_argument(0))],
        ["tests/unit/test_refresh.py", "tests/unit/test_judge.py"],
    ),
    "redirects followed": Bug(
        [
            InModule("clearlift_adapters.oauth.exchange", "Exchange._send", following),
            InModule("clearlift_adapters.oauth.exchange", "_READ_HEADERS", and_location),
        ],
        ["tests/unit/test_exchange.py"],
    ),
    "connections kept": Bug(
        [
            InModule("clearlift_adapters.oauth.exchange", "way_to", keeping),
            InModule("clearlift_adapters.oauth.exchange", "_HEADERS", without_close),
        ],
        ["tests/unit/test_network.py"],
    ),
    "a bomb unpacked": Bug(
        [InModule("clearlift_adapters.oauth.exchange", "BODY_BYTES_MAX", becomes(10**9))],
        ["tests/unit/test_exchange.py"],
    ),
    "secrets logged": Bug(
        [InModule("clearlift_adapters.logs", "redacted", returns_argument(1))],
        ["tests/unit/test_logs.py"],
    ),
    "provider's words not sanitised": Bug(
        [
            InModule(
                "clearlift_adapters.oauth.wording",
                "sanitised",
                returns_argument(0),
            )
        ],
        ["tests/unit/test_wording.py"],
    ),
    "swapped ciphertexts accepted": Bug(
        [InModule("clearlift_adapters.seals", "SealKeys.misplaced", returns(None))],
        ["tests/unit/test_seals.py"],
    ),
}
