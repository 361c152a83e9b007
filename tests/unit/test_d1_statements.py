"""Each query that writes does the same over a JSON array, as on D1, as row by row, as on SQLite."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from sqlite3 import Connection as Sqlite
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearlift_adapters.migrations import MIGRATIONS, migration_names
from clearlift_adapters.stores.d1 import PARAMETER_BYTES_MAX, Statement, reading, writing
from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.queries import Query, bind, load
from tests.given import ODD_IDS

FILES: Final = ("store.sql", "operation.sql", "connections.sql", "paged.sql", "queue.sql")
Written = tuple[str, Sequence[Any]]  # A statement, and what is bound to it.
IDS: Final = ("a", "b", "new", "late", *ODD_IDS[:2])
SEED: Final = """
INSERT INTO organizations (id) VALUES ('org');
INSERT INTO platform_connections
  (id, organization_id, platform, account_id, connected_by, sync_status, sync_error,
   credentials_encrypted, refresh_token_encrypted)
VALUES ('a', 'org', 'google', '1', 'u', 'failed', 'Token refresh failed: x', 'h1', NULL),
  ('b', 'org', 'google', '2', 'u', NULL, NULL, 'h2', 'h1'),
  ('new', 'org', 'google', '3', 'u', NULL, NULL, NULL, NULL),
  ('late', 'org', 'google', '4', 'u', 'failed', 'Token refresh failed: y', NULL, NULL);
INSERT INTO outbox
  (connection_id, version, transition, source, target, occurred_at, run_id, data, hash)
VALUES ('a', 1, 'fell_due', NULL, 'due', 1, 'run', '{}', 'h1'),
  ('a', 2, 'x', 'due', 'due', 1, 'run', '{}', 'h2'),
  ('b', 1, 'x', NULL, 'due', 1, 'run', '{}', 'h2'),
  ('late', 1, 'x', NULL, 'due', 1, 'run', '{}', 'h1');
INSERT INTO connection_state
  (connection_id, state, version, hash, changed_at, failures, in_doubt, position)
VALUES ('a', 'due', 1, 'h1', 1, 0, 0, 1), ('b', 'due', 1, 'h2', 1, 0, 0, 3);
INSERT INTO provider_gates VALUES ('a', 1, 'h1', '{}'), ('b', 2, 'h2', '{}');
INSERT INTO sync_jobs (id, organization_id, connection_id, created_at)
VALUES ('b', 'org', 'b', '2026-10-10');
INSERT INTO queue_messages (job_id, body, enqueued_at, visible_at, lease_id)
VALUES ('a', '{}', 1, 1, 'h1');
INSERT INTO runs (id, command, started_at) VALUES ('a', 'tick', 1);
INSERT INTO leases VALUES ('a', 'h1', 3)
"""


def writing_queries() -> dict[str, tuple[Query, Sequence[str]]]:
    """Return every query that writes, with the names of its parameters in their order."""
    found: dict[str, tuple[Query, Sequence[str]]] = {}
    for file in FILES:
        statements = load(file)
        for name, sql in statements.items():
            if not sql.startswith(("SELECT", "WITH")):
                names = list(dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]+)", sql)))
                found[f"{file}:{name}"] = bind(statements, name, *names), names
    return found


QUERIES: Final = writing_queries()
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_NUMBER: Final = st.integers(0, 2**53)
# Values that meet the rows of SEED, by the id that their row is about.
_FITTING: Final[Mapping[str, Mapping[str, Any]]] = {
    "hash": {"a": "h2", "b": "h2", "late": "h1"},
    "version": {"a": 2, "b": 1, "late": 1},
    "seen_hash": {"a": "h1", "b": "h2"},
    "old_access": {"a": "h1", "b": "h2"},
    "old_refresh": {"b": "h1"},
    "account_id": {"a": "1", "b": "2"},
    "lease_id": {"a": "h1"},
}
_NEXT: Final = {"append_entry": {"a": 3, "b": 2, "late": 2}, "move_gate": {"a": 2, "b": 3}}
_FIXED: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("organization_id",), "org"),
    **dict.fromkeys(("target", "state"), "due"),
    "platform": "google",
}
_NUMBERS: Final = {
    *("version", "gate_version", "position", "occurred_at", "changed_at", "failures", "in_doubt"),
    *("started_at", "finished_at", "until", "now", "before", "visible_at", "enqueued_at", "limit"),
    *("interval_s", "retry_at", "lease_until", "attempts_max", "open_since_s"),
}
# What no two rows of one batch have in common; of a connection's log, only both together.
_KEYS: Final = (("connection_id",), ("id",), ("provider",), ("job_id",), ("name",))
_LOG_KEYS: Final = (("connection_id", "version"),)


@st.composite
def rows_of(draw: st.DrawFn, query: str, names: Sequence[str]) -> tuple[Any, ...]:
    """Return a row that meets what is there, more often than not."""
    about, fits = draw(st.sampled_from(IDS)), draw(st.sampled_from([True, True, False]))

    def value(name: str) -> Any:  # noqa: ANN401  whatever SQLite takes
        if (name,) in _KEYS:
            return about
        if name in _FIXED:
            return _FIXED[name]
        if fits and name == "version" and query in _NEXT:
            return _NEXT[query].get(about, 1)
        if fits and name in _FITTING:
            return _FITTING[name].get(about)
        if name in {"gate", "source", "access", "open_since_s"} and fits and "transition" in names:
            return "due" if name == "source" and about in {"a", "b", "late"} else None
        return draw(_NUMBER if name in _NUMBERS else _TEXT)

    return tuple(map(value, names))


@st.composite
def batches(draw: st.DrawFn, query: str, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return rows for one query, none of which is about what another is about."""
    wanted = _LOG_KEYS if query == "append_entry" else _KEYS
    keys = [itemgetter(*map(names.index, key)) for key in wanted if set(key) <= set(names)]
    rows = st.lists(rows_of(query, names), max_size=5, unique_by=tuple(keys) or None)
    return draw(rows)


@pytest.fixture(scope="module")
def template() -> Iterator[Sqlite]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for name in migration_names():
            db.executescript(MIGRATIONS.joinpath(name).read_text(encoding="utf-8"))
        db.executescript(SEED)
        yield db


def outcome(template: Sqlite, statements: Sequence[Written]) -> object:
    """Return all tables afterwards, and how many rows were changed; or why it was refused."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        template.backup(db)
        db.execute("PRAGMA foreign_keys = ON")
        before = db.total_changes
        db.execute("BEGIN")
        try:
            for sql, parameters in statements:
                db.execute(sql, parameters)
        except sqlite3.IntegrityError as exc:
            return str(exc)
        tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        rows = {
            name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for (name,) in tables
        }
        return db.total_changes - before, rows


@pytest.mark.parametrize("name", QUERIES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_both_forms_leave_the_same_tables(template: Sqlite, name: str, data: st.DataObject) -> None:
    query, names = QUERIES[name]
    rows = data.draw(batches(query.name, names))

    as_on_sqlite = [(query.sql, row) for row in rows]
    as_on_d1 = [(each.sql, each.params) for each in writing(query, rows)]

    assert outcome(template, as_on_sqlite) == outcome(template, as_on_d1)


def test_every_query_over_rows_is_one_statement_for_all_of_them() -> None:
    over_rows = {name for name, (query, _) in QUERIES.items() if "/* rows" in query.sql}

    counts = {
        name: len(writing(query, [[None for _ in names]] * 3))
        for name, (query, names) in QUERIES.items()
        if name in over_rows
    }

    assert "store.sql:append_entry" in over_rows
    assert set(counts.values()) == {1}


def test_rows_that_are_too_large_for_one_value_are_several_statements() -> None:
    query, names = QUERIES["store.sql:mark_failed"]
    size = PARAMETER_BYTES_MAX // 2
    rows = [["é" * (size // 2) for _ in names[:1]] + [None for _ in names[1:]] for _ in range(4)]

    statements = writing(query, rows)

    sizes = [len(each.params[0].encode()) for each in statements]
    assert len(statements) == 4
    assert max(sizes) <= PARAMETER_BYTES_MAX


def test_no_number_is_bound() -> None:
    statement = reading(Query("it", "SELECT ?2, ?1"), [7, "text"])

    assert statement == Statement("SELECT (?1 ->> 1), (?1 ->> 0)", ['[7,"text"]'])
