"""Cloudflare D1 as a database: the very queries of SQLite, over HTTP.

Three things are different. Numbers that are bound arrive as REAL, so every statement gets one
parameter, a JSON array, and takes its values from there. There is no BEGIN: a batch is the
transaction, as far as it is one (see store.sql on what happens if it is not). And a request costs
more than a statement, so whatever is waiting when one request ends goes together in the next.
"""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from clearlift_adapters.cloudflare.api import CloudflareApi
from clearlift_adapters.cloudflare.errors import StatementError
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import RefusedError, Row, Step, Value

STATEMENTS_MAX: Final = 50  # A request.
REQUEST_BYTES_MAX: Final = 8_000_000
TURNS: Final = 5  # Of the event loop, from the first question until a request leaves.
PARAMETER_BYTES_MAX: Final = 1_900_000  # A value of D1 may have 2 MB.

_NUMBER: Final = re.compile(r"\?(\d+)")
_ROWS: Final = "(SELECT value AS row FROM json_each(?1)) AS rows"


class Statement(msgspec.Struct, frozen=True):
    """One statement as the API takes it."""

    sql: str
    params: list[str]


class _Meta(msgspec.Struct, frozen=True):
    changes: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What one statement came to."""

    results: list[dict[str, str | int | float | list[int] | None]] = []
    meta: _Meta = _Meta()


def reading(query: Query, parameters: Sequence[Value]) -> Statement:
    """Return a statement that takes its parameters from one JSON array."""
    if not parameters:
        return Statement(query.sql, [])
    sql = _NUMBER.sub(lambda match: f"(?1 ->> {int(match[1]) - 1})", query.sql)
    return Statement(sql, [_json(parameters)])


def writing(query: Query, rows: Sequence[Sequence[Value]]) -> list[Statement]:
    """Return the statements that do for all rows what executemany does for each."""
    if "/* rows" not in query.sql:
        return [reading(query, row) for row in rows]
    sql = _NUMBER.sub(lambda match: f"(rows.row ->> {int(match[1]) - 1})", query.sql)
    sql = sql.replace("/* rows */", f"FROM {_ROWS}").replace("/* rows, */", f"{_ROWS} CROSS JOIN")
    return [Statement(sql, [part]) for part in _parts(rows)]


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
    alone: bool = False  # Something that was sent together with it was refused.


class D1Database:
    """The protocol Database, on one D1 database."""

    def __init__(self, api: CloudflareApi, account: str, database: str) -> None:
        self._api, self._path = api, f"{account}/d1/database/{database}/query"
        self._waiting: deque[_Work] = deque()
        self._under_way: asyncio.Task[list[Outcome]] | None = None

    async def read(self, query: Query, *parameters: Value) -> list[Row]:
        [outcome] = await self._done([reading(query, parameters)])
        return [tuple(map(_value, row.values())) for row in outcome.results]

    async def write(self, steps: Sequence[Step]) -> list[int]:
        parts = [writing(query, rows) for query, rows in steps]
        outcomes = iter(await self._done([each for part in parts for each in part]))
        return [sum(next(outcomes).meta.changes for _ in part) for part in parts]

    async def _done(self, statements: list[Statement]) -> list[Outcome]:
        if not statements:
            return []
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Work(statements, done))
        if self._under_way is None:
            self._start_in(TURNS)
        return await done

    def _start_in(self, turns: int) -> None:
        """Let the loop turn: of those who were woken together, whoever has something goes along."""
        next_step = partial(self._start_in, turns - 1) if turns else self._start
        asyncio.get_running_loop().call_soon(next_step)

    def _start(self) -> None:
        if self._under_way is not None or not self._waiting:
            return
        together = self._together()
        statements = [each for work in together for each in work.statements]
        self._under_way = asyncio.create_task(self._send(statements))
        self._under_way.add_done_callback(partial(self._finish, together))

    def _finish(self, together: Sequence[_Work], task: "asyncio.Task[list[Outcome]]") -> None:
        """Give each its own; what was refused together goes again, one by one: one is to blame."""
        self._under_way = None
        refused = None if task.cancelled() else task.exception()
        if isinstance(refused, RefusedError) and len(together) > 1:
            self._waiting.extendleft(
                _Work(work.statements, work.done, alone=True) for work in reversed(together)
            )
        else:
            _settle(together, task)
        if self._waiting:
            self._start_in(TURNS)

    def _together(self) -> list[_Work]:
        """Take what fits into one request, in the order in which it came."""
        together = [self._waiting.popleft()]
        count, size = _extent(together[0])
        while self._waiting and not together[-1].alone and not self._waiting[0].alone:
            more, larger = _extent(self._waiting[0])
            count, size = count + more, size + larger
            if count > STATEMENTS_MAX or size > REQUEST_BYTES_MAX:
                break
            together.append(self._waiting.popleft())
        return together

    async def _send(self, statements: Sequence[Statement]) -> list[Outcome]:
        body = {"batch": statements} if len(statements) > 1 else msgspec.to_builtins(statements[0])
        try:
            # Every statement of ours may be sent again: its guards see what was done already.
            reply = await self._api.call(
                "POST", self._path, list[Outcome], body, service="D1", repeatable=True
            )
        except StatementError as exc:
            raise RefusedError(str(exc)) from exc
        return reply.result


def _settle(together: Sequence[_Work], task: "asyncio.Task[list[Outcome]]") -> None:
    exc = asyncio.CancelledError() if task.cancelled() else task.exception()
    outcomes = iter(task.result() if exc is None else ())
    for work in together:
        if work.done.cancelled():
            continue
        if exc is None:
            work.done.set_result([next(outcomes) for _ in work.statements])
        else:
            work.done.set_exception(exc)


def _extent(work: _Work) -> tuple[int, int]:
    return len(work.statements), sum(len(s.sql) + sum(map(len, s.params)) for s in work.statements)


def _value(value: Value | list[int]) -> Value:
    """Return a value as SQLite gives it: a blob comes as a list of its bytes."""
    return bytes(value) if isinstance(value, list) else value


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
