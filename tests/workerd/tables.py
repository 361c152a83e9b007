"""Raw access to a D1 database beside the adapters, over the API, in statements of its own."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Self

import httpx
import msgspec
import pytest

from tests.seed import Row, Value
from tests.workerd.cloudflare import Cloudflare, Stage

_ROWS_AT_ONCE: Final = 1_000


class D1Tables:
    """The tables of one stage. Foreign keys are always looked at: D1 has no way around them."""

    def __init__(self, running: Cloudflare, stage: Stage) -> None:
        self._path = f"d1/database/{stage.database}/query"
        self._client = httpx.Client(
            base_url=f"{running.base_url}/accounts/{stage.account}/",
            headers={"Authorization": f"Bearer {running.tokens.token}"},
            timeout=60,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        values = ", ".join(map(_spelled, row.values()))
        self._sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", row.values())

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Value]]) -> None:
        """Insert rows that all have the same columns, none of them bytes."""
        columns = list(rows[0])
        values = ", ".join(f"value ->> {number}" for number in range(len(columns)))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM json_each(?1)"
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = [list(row.values()) for row in rows[start : start + _ROWS_AT_ONCE]]
            self._sql(sql, [msgspec.json.encode(part).decode()])

    def update(self, table: str, row_id: str, row: Mapping[str, Value]) -> None:
        changes = ", ".join(f"{column} = {_spelled(value)}" for column, value in row.items())
        self._sql(f"UPDATE {table} SET {changes} WHERE id = ?", (*row.values(), row_id))

    def delete(self, table: str, row_id: str | int) -> None:
        if table == "outbox":
            self._sql("DROP TRIGGER IF EXISTS outbox_refuses_delete")
        column = "position" if table == "outbox" else "id"
        self._sql(f"DELETE FROM {table} WHERE {column} = {_spelled(row_id)}", [row_id])

    def rows(self, table: str) -> list[Row]:
        return [
            {name: _cell(value) for name, value in row.items()}
            for row in self._sql(f"SELECT * FROM {table} ORDER BY 1")
        ]

    def run(self, script: str) -> None:
        """Run statements of any kind."""
        self._sql(script)

    def _sql(self, sql: str, values: Collection[Value] = ()) -> list[dict[str, Any]]:
        params = [value for value in values if isinstance(value, str)]
        answer = self._client.post(self._path, json={"sql": sql, "params": params})
        if "FOREIGN KEY constraint failed" in answer.text:
            pytest.skip("D1 always looks at foreign keys: no such row can be there")
        assert answer.status_code == httpx.codes.OK, answer.text
        rows: list[dict[str, Any]] = answer.json()["result"][-1]["results"]
        return rows


def _cell(value: str | float | list[int] | None) -> Value:
    """Return what a cell holds: a blob comes as a list of its bytes."""
    return bytes(value) if isinstance(value, list) else value


def _spelled(value: Value) -> str:
    """Return a value as SQL spells it, but for texts: a number that is bound arrives as REAL."""
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"X'{value.hex()}'"
        case str():
            return "?"
        case _:
            return str(value)
