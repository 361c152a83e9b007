"""Cloudflare D1 as a database: the very queries of SQLite, over HTTP.

Three things are different. Numbers that are bound arrive as REAL, so every statement gets one
parameter, a JSON array, and takes its values from there. There is no BEGIN: a batch is the
transaction, as far as it is one (see store.sql on what happens if it is not). And a request costs
more than a statement, so whatever is waiting when one request ends goes together in the next.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from clearlift_adapters.cloudflare.api import CloudflareApi
from clearlift_adapters.cloudflare.errors import StatementError
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import RefusedError, Row, Step, Value

T = TypeVar("T")

STATEMENTS_MAX: Final = 50  # A request.
REQUEST_BYTES_MAX: Final = 8_000_000
PARAMETER_BYTES_MAX: Final = 1_900_000  # A value of D1 may have 2 MB.

_NUMBER: Final = re.compile(r"\?(\d+)")
_ROWS: Final = "(SELECT value AS row FROM json_each(?1)) AS rows"


class Statement(msgspec.Struct, frozen=True):
    """One statement as the API takes it."""

    sql: str
    params: list[str]


class _Meta(msgspec.Struct):
    changes: int = 0


class Outcome(msgspec.Struct):
    """What one statement came to."""

    results: list[dict[str, Value]] = []
    meta: _Meta = _Meta()


_OUTCOMES: Final = msgspec.json.Decoder(list[Outcome])


def reading(query: Query, parameters: Sequence[Value]) -> Statement:
    """Return a statement that takes its parameters from one JSON array."""
    return Statement(_single(query.sql), [_json(parameters)])


def writing(query: Query, rows: Sequence[Sequence[Value]]) -> list[Statement]:
    """Return the statements that do for all rows what executemany does for each."""
    if "/* rows" not in query.sql:
        return [reading(query, row) for row in rows]
    sql = _NUMBER.sub(lambda match: f"(rows.row ->> {int(match[1]) - 1})", query.sql)
    sql = sql.replace("/* rows */", f"FROM {_ROWS}").replace("/* rows, */", f"{_ROWS} CROSS JOIN")
    return [Statement(sql, [part]) for part in _parts(rows)]


def _single(sql: str) -> str:
    return _NUMBER.sub(lambda match: f"(?1 ->> {int(match[1]) - 1})", sql)


def _parts(rows: Sequence[Sequence[Value]]) -> list[str]:
    """Return the rows as JSON arrays, each small enough to be one value."""
    if not rows:
        return []
    whole = _json(rows)
    if len(whole.encode()) <= PARAMETER_BYTES_MAX or len(rows) == 1:
        return [whole]
    half = len(rows) // 2
    return [*_parts(rows[:half]), *_parts(rows[half:])]


class _Work(msgspec.Struct):
    statements: list[Statement]
    done: "asyncio.Future[list[Outcome]]"


class D1Database:
    """The protocol Database, on one D1 database."""

    def __init__(self, api: CloudflareApi, database: str) -> None:
        self._api, self._path = api, f"d1/database/{database}/query"
        self._waiting: list[_Work] = []
        self._pump: asyncio.Task[None] | None = None

    async def read(self, query: Query, *parameters: Value) -> list[Row]:
        [outcome] = await self._done([reading(query, parameters)])
        return [tuple(row.values()) for row in outcome.results]

    async def write(self, steps: Sequence[Step]) -> list[int]:
        parts = [writing(query, rows) for query, rows in steps]
        outcomes = iter(await self._done([each for part in parts for each in part]))
        return [sum(next(outcomes).meta.changes for _ in part) for part in parts]

    async def _done(self, statements: list[Statement]) -> list[Outcome]:
        if not statements:
            return []
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Work(statements, done))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            together = self._together()
            try:
                outcomes = iter(await self._send([s for work in together for s in work.statements]))
            except RefusedError as exc:
                await self._apart(together, exc)
            except Exception as exc:  # noqa: BLE001  it belongs to whoever waits for the answer
                for work in together:
                    _fail(work, exc)
            else:
                for work in together:
                    _succeed(work, [next(outcomes) for _ in work.statements])

    def _together(self) -> list[_Work]:
        """Take what fits into one request, in the order in which it came."""
        together: list[_Work] = []
        count = size = 0
        for work in self._waiting:
            count += len(work.statements)
            size += sum(len(s.sql) + len(s.params[0]) for s in work.statements)
            if together and (count > STATEMENTS_MAX or size > REQUEST_BYTES_MAX):
                break
            together.append(work)
        del self._waiting[: len(together)]
        return together

    async def _apart(self, together: list[_Work], exc: RefusedError) -> None:
        """Send one by one what was refused together: only one of them is to blame."""
        if len(together) == 1:
            _fail(together[0], exc)
            return
        for work in together:
            try:
                _succeed(work, await self._send(work.statements))
            except Exception as error:  # noqa: BLE001  as above
                _fail(work, error)

    async def _send(self, statements: Sequence[Statement]) -> list[Outcome]:
        body = {"batch": statements} if len(statements) > 1 else msgspec.to_builtins(statements[0])
        try:
            # Every statement of ours may be sent again: its guards see what was done already.
            result = await self._api.call("POST", self._path, body, service="D1", repeatable=True)
        except StatementError as exc:
            raise RefusedError(str(exc)) from exc
        return _OUTCOMES.decode(result)


def _succeed(work: _Work, outcomes: list[Outcome]) -> None:
    if not work.done.cancelled():
        work.done.set_result(outcomes)


def _fail(work: _Work, exc: Exception) -> None:
    if not work.done.cancelled():
        work.done.set_exception(exc)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
