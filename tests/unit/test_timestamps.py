"""Texts of DATETIME columns are read as SQLite reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_adapters.stores.library import sqlite3
from clearlift_adapters.stores.timestamps import milliseconds

SQL = """
SELECT CAST(round((julianday(?1) - 2440587.5) * 86400000) AS INTEGER)
WHERE ?1 GLOB '[0-9][0-9][0-9][0-9]-[0-9]*'
"""
TIMES = (
    r"\d{4}-[01]\d-[0-3]\d[T ]{0,2}([0-2]\d:[0-6]\d(:[0-6]\d(\.\d{1,3})?)?)?"
    r" ?([Zz]|[+-][01]\d:[0-6]\d)?[ x]?"
)


def by_sqlite(raw: str) -> int | None:
    row = sqlite3.connect(":memory:").execute(SQL, (raw,)).fetchone()
    return None if row is None else row[0]


@given(st.from_regex(TIMES, fullmatch=True))
def test_text_is_read_as_sqlite_reads_it(raw: str) -> None:
    assert milliseconds(raw) == by_sqlite(raw)


@pytest.mark.parametrize(
    ("raw", "ms"),
    [
        ("1970-01-01", 0),
        ("1970-01-01 00:00:01", 1000),
        ("1970-01-01T00:00:00.999Z", 999),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31 23:59:59.5", -500),
        ("1970-02-31", 60 * 86_400_000 + 86_400_000),
        ("0000-01-01 00:00:00", -62_167_219_200_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("1970-01-01T00:00:00Z\0", 0),
    ],
)
def test_odd_but_readable_text_is_a_time(raw: str, ms: int) -> None:
    assert milliseconds(raw) == ms == by_sqlite(raw)


@pytest.mark.parametrize(
    "raw", [None, 0, 2460000.5, b"1970-01-01", "", "now", "2460000.5", "12:00"]
)
def test_what_is_no_text_of_a_date_is_no_time(raw: object) -> None:
    assert milliseconds(raw) is None
