"""D1 behind our REST paths is D1: its types, limits and transactions, in Cloudflare's envelopes."""

from collections.abc import Callable

import pytest

from clearlift_adapters.migrations import MIGRATIONS, migration_names
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.rest import Rest, error_of

TRIGGER = "CREATE TRIGGER t BEFORE DELETE ON a {} SELECT RAISE(ABORT, 'no; never'); END;"


async def test_an_answer_is_an_envelope_with_one_result_a_statement(rest: Rest) -> None:
    batch = [
        {"sql": "CREATE TABLE a (x TEXT)"},
        {"sql": "INSERT INTO a VALUES (?1), (?2)", "params": ["one", "two"]},
        {"sql": "SELECT x FROM a"},
    ]

    body = (await rest.query({"batch": batch})).json()

    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])
    assert [each["success"] for each in body["result"]] == [True] * 3
    assert [each["results"] for each in body["result"]] == [[], [], [{"x": "one"}, {"x": "two"}]]
    written = body["result"][1]["meta"]
    assert (written["changes"], written["last_row_id"], written["rows_written"]) == (2, 2, 2)
    assert {"duration", "rows_read", "changed_db", "size_after"} <= written.keys()


async def test_a_number_arrives_as_real_and_one_out_of_json_does_not(rest: Rest) -> None:
    types = "SELECT typeof(?1) AS bound, 'v' || ?1 AS text, typeof(?2 ->> 0) AS json"

    rows = await rest.sql(types, 7, "[7]")

    assert rows == [{"bound": "real", "text": "v7.0", "json": "integer"}]


async def test_a_batch_is_whole_or_not_at_all_on_workerd(rest: Rest) -> None:
    await rest.sql("CREATE TABLE a (x TEXT UNIQUE)")
    twice = {"sql": "INSERT INTO a VALUES (?1)", "params": ["x"]}

    refused = await rest.query({"batch": [twice, twice]})

    message = (
        "UNIQUE constraint failed: a.x: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)"
    )
    assert error_of(refused) == (400, 7500, message)
    assert refused.json()["result"] == []
    assert await rest.sql("SELECT * FROM a") == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM nowhere", "no such table: nowhere: SQLITE_ERROR"),
        ("SELEC 1", 'near "SELEC": syntax error at offset 0: SQLITE_ERROR'),
        ("PRAGMA user_version", "not authorized: SQLITE_AUTH"),
        ("CREATE TEMP TABLE a (x)", "not authorized: SQLITE_AUTH"),
        ("-- nothing", "SQL code did not contain a statement."),
        ("", "No SQL statements detected."),
    ],
)
async def test_refused_sql_is_error_7500_in_the_words_of_sqlite(
    rest: Rest, sql: str, message: str
) -> None:
    refused = await rest.query({"sql": sql})

    assert error_of(refused) == (400, 7500, message)


async def test_there_is_no_begin(rest: Rest) -> None:
    status, code, message = error_of(await rest.query({"sql": "BEGIN"}))

    assert (status, code) == (400, 7500)
    assert message.startswith("To execute a transaction, please use the state.storage")


async def test_foreign_keys_are_always_on(rest: Rest) -> None:
    await rest.sql("CREATE TABLE a (x PRIMARY KEY); CREATE TABLE b (x REFERENCES a)")
    await rest.sql("PRAGMA foreign_keys = OFF")

    _, _, message = error_of(await rest.query({"sql": "INSERT INTO b VALUES ('x')"}))

    assert message.startswith("FOREIGN KEY constraint failed")


def with_parameters(count: int) -> str:
    return f"SELECT 1 IN ({','.join('?' * count)})"


def with_terms(count: int) -> str:
    return "SELECT " + " UNION ALL SELECT ".join("1" * count)


def with_depth(count: int) -> str:
    return "SELECT " + " AND ".join("1" * count)


def with_length(count: int) -> str:
    return f"SELECT '{'x' * (count - 9)}'"


def with_pattern(count: int) -> str:
    return f"SELECT 'a' LIKE '{'a' * count}'"


@pytest.mark.parametrize(
    ("statement", "most", "message"),
    [
        (with_parameters, 100, "too many SQL variables"),
        (with_terms, 5, "too many terms in compound SELECT"),
        (with_depth, 100, "Expression tree is too large (maximum depth 100)"),
        (with_length, 100_000, "statement too long: SQLITE_TOOBIG"),
        (with_pattern, 50, "LIKE or GLOB pattern too complex"),
    ],
)
async def test_a_statement_has_the_limits_of_d1(
    rest: Rest, statement: Callable[[int], str], most: int, message: str
) -> None:
    within, beyond = (statement(n) for n in (most, most + 1))

    taken = await rest.query({"sql": within, "params": ["1"] * within.count("?")})
    refused = await rest.query({"sql": beyond, "params": ["1"] * beyond.count("?")})

    assert taken.status_code == 200, taken.text
    assert error_of(refused)[:2] == (400, 7500)
    assert error_of(refused)[2].startswith(message)


async def test_a_value_has_two_megabytes_at_most(rest: Rest) -> None:
    most = "é" * 1_000_000

    rows = await rest.sql("SELECT length(?1) AS length", most)
    refused = await rest.query({"sql": "SELECT length(?1)", "params": [most + "."]})

    assert rows == [{"length": 1_000_000}]
    assert error_of(refused) == (400, 7500, "string or blob too big: SQLITE_TOOBIG")


async def test_a_thousand_rows_go_in_with_one_parameter(rest: Rest) -> None:
    await rest.sql("CREATE TABLE a (x INTEGER)")
    rows = ",".join(str(n) for n in range(1_000))

    await rest.sql("INSERT INTO a SELECT value FROM json_each(?1)", f"[{rows}]")

    found = await rest.sql("SELECT count(*) AS rows, sum(x) AS sum, min(typeof(x)) AS type FROM a")
    assert found == [{"rows": 1_000, "sum": 499_500, "type": "integer"}]


async def test_one_text_may_hold_several_statements(rest: Rest) -> None:
    sql = f"-- one\nCREATE TABLE a (x); /* two */ {TRIGGER.format('BEGIN')} SELECT ';' AS x;"

    body = (await rest.query({"sql": sql})).json()

    assert [each["results"] for each in body["result"]] == [[], [], [{"x": ";"}]]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (TRIGGER.format("begin"), "incomplete input: SQLITE_ERROR"),
        (TRIGGER.format("\r\nBEGIN\r\n"), "incomplete input: SQLITE_ERROR"),
        (TRIGGER.format("BEGIN SELECT CASE WHEN 1 THEN 2 END;"), "incomplete input: SQLITE_ERROR"),
        ("-- it's one\nSELECT 1;\nSELECT 2;", "A prepared SQL statement must contain only one s"),
        ("SELECT 1;\n-- two;\nSELECT 2;", "SQL code did not contain a statement."),
    ],
    ids=["lower case", "carriage return", "CASE", "apostrophe in comment", "semicolon in comment"],
)
async def test_what_breaks_the_real_splitter_breaks_ours(
    rest: Rest, sql: str, message: str
) -> None:
    await rest.sql("CREATE TABLE a (x)")

    status, code, said = error_of(await rest.query({"sql": sql}))

    assert (status, code) == (400, 7500)
    assert said.startswith(message)


async def test_our_migrations_go_through_as_wrangler_sends_them(rest: Rest) -> None:
    """That is: each file as one text, with the statement for the ledger at its end."""
    scripts = [MIGRATIONS.joinpath(name).read_text() for name in migration_names()]
    await rest.sql("CREATE TABLE d1_migrations (name TEXT UNIQUE)")

    for number, script in enumerate(scripts):
        await rest.sql(f"{script}\nINSERT INTO d1_migrations (name) VALUES ('{number}');")

    [made] = await rest.sql("SELECT count(*) AS count FROM sqlite_schema WHERE type = 'trigger'")
    assert made["count"] == "".join(scripts).count("CREATE TRIGGER")


async def test_a_database_is_found_by_its_account_and_id(rest: Rest, stage: Stage) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"

    found = await rest.get(f"d1/database/{stage.database}")
    missing = await rest.post(f"d1/database/{unknown}/query", {"sql": "SELECT 1"})

    assert found.json()["result"]["uuid"] == stage.database
    assert error_of(missing) == (404, 7404, f"The database {unknown} could not be found")


async def test_a_wrong_account_or_path_is_refused(rest: Rest) -> None:
    elsewhere = await rest.get("../other/d1/database/x")
    nowhere = await rest.get("d1/database/x/nowhere")

    message = "The given account is not valid or is not authorized to access this service"
    assert error_of(elsewhere) == (403, 7403, message)
    assert error_of(nowhere)[:2] == (404, 7003)


async def test_a_token_must_be_known_and_have_the_permission(
    workerd: Cloudflare, stage: Stage
) -> None:
    tokens = ["unknown", workerd.tokens.queues_token]

    answers: list[tuple[int, int, str]] = []
    for token in tokens:
        async with Rest(workerd, stage, token=token) as rest:
            answers.append(error_of(await rest.query({"sql": "SELECT 1"})))

    assert answers == [(401, 10000, "Authentication error"), (403, 10000, "Authentication error")]


async def test_a_request_must_bring_a_token(rest: Rest) -> None:
    without = await rest.get("d1/database/x", Authorization="Basic x")

    assert error_of(without) == (400, 10001, "Unable to authenticate request")


async def test_a_stage_is_empty_also_when_its_turn_comes_again(workerd: Cloudflare) -> None:
    seen: list[str] = []

    while len(set(seen)) == len(seen):
        stage = workerd.stage()
        seen.append(stage.database)
        async with Rest(workerd, stage) as rest:
            await rest.sql("CREATE TABLE a (x PRIMARY KEY); CREATE TABLE b (x REFERENCES a)")
            await rest.sql("INSERT INTO a VALUES ('x'); INSERT INTO b VALUES ('x')")

    assert seen.index(seen[-1]) == 0 < len(seen) - 1
