"""Each fault does what it says, to the request that it is for, and only to that."""

import asyncio

import httpx
import pytest

from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare, Request, Stage
from tests.workerd.faults import FOREVER, Fault
from tests.workerd.rest import Rest, error_of

ADD = {"sql": "INSERT INTO a VALUES ('x')"}


@pytest.fixture(autouse=True)
async def table(rest: Rest) -> None:
    await rest.sql("CREATE TABLE a (x TEXT)")


async def added(rest: Rest, workerd: Cloudflare) -> int:
    """Return how many times ADD was carried out."""
    workerd.inject()
    [row] = await rest.sql("SELECT count(*) AS rows FROM a")
    return int(row["rows"])


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
async def test_an_error_comes_before_the_commit_or_after_it(
    workerd: Cloudflare, rest: Rest, when: faults.When, rows: int
) -> None:
    workerd.inject(faults.internal_error(when=when))

    answer = await rest.query(ADD)

    assert error_of(answer) == (500, 7500, "internal error; reference = e_0")
    assert await added(rest, workerd) == rows


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
async def test_a_connection_is_reset_before_the_commit_or_after_it(
    workerd: Cloudflare, rest: Rest, when: faults.When, rows: int
) -> None:
    workerd.inject(faults.reset(when=when))

    with pytest.raises(httpx.ReadError):
        await rest.query(ADD)

    assert await added(rest, workerd) == rows


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
async def test_an_outage_answers_with_a_page(
    workerd: Cloudflare, rest: Rest, when: faults.When, rows: int
) -> None:
    workerd.inject(faults.html(when=when))

    answer = await rest.query(ADD)

    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    assert answer.text.startswith("<!DOCTYPE html>")
    assert await added(rest, workerd) == rows


async def test_a_rate_limit_says_when_to_come_again(workerd: Cloudflare, rest: Rest) -> None:
    workerd.inject(faults.rate_limited(retry_after_s=120))

    answer = await rest.query(ADD)

    assert error_of(answer)[:2] == (429, 971)
    assert answer.headers["retry-after"] == "120"
    assert await added(rest, workerd) == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_request_is_carried_out_though_the_client_has_gone(
    workerd: Cloudflare, rest: Rest, when: faults.When
) -> None:
    workerd.inject(faults.late(500, when=when))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rest.query(ADD), timeout=0.1)

    assert [each.status for each in workerd.requests()] == [200, 200]
    assert await added(rest, workerd) == 1


@pytest.mark.parametrize("statements", [0, 1, 2])
async def test_a_batch_is_cut_short_after_any_statement(
    workerd: Cloudflare, rest: Rest, statements: int
) -> None:
    workerd.inject(faults.cut_short(statements))

    answer = await rest.query({"batch": [ADD, ADD, ADD]})

    assert error_of(answer)[:2] == (500, 7500)
    assert await added(rest, workerd) == statements


async def test_a_message_is_in_the_queue_though_the_answer_was_lost(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    workerd.inject(faults.reset(when="after").at("messages/batch"))

    with pytest.raises(httpx.ReadError):
        await rest.push(stage.recorded, {"job_id": "a"})

    assert [each.body for each in workerd.deliveries(stage.recorded)] == ['{"job_id":"a"}']


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        (faults.html(), [502, 200, 200, 200, 200]),
        (faults.html().at("query", 2), [200, 200, 502, 200, 200]),
        (faults.html().at("metrics"), [200, 502, 200, 200, 200]),
        (faults.html().at("query", 2, times=2), [200, 200, 502, 502, 200]),
        (faults.html().at("*", 3, times=FOREVER), [200, 200, 502, 502, 502]),
        (faults.html().at("nowhere"), [200, 200, 200, 200, 200]),
    ],
)
async def test_a_fault_is_for_the_requests_that_it_names(
    workerd: Cloudflare, rest: Rest, stage: Stage, fault: Fault, statuses: list[int]
) -> None:
    workerd.inject(fault)

    answers = [await rest.query(ADD), await rest.get(f"queues/{stage.recorded}/metrics")]
    answers += [await rest.query(ADD) for _ in range(3)]

    assert [answer.status_code for answer in answers] == statuses


async def test_requests_are_counted_by_route_with_their_answers(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    workerd.inject(faults.reset().at("messages/batch"))

    with pytest.raises(httpx.ReadError):
        await rest.push(stage.recorded, {})
    await rest.query({"sql": "nonsense"})
    await rest.get(f"queues/{stage.recorded}/metrics")

    assert workerd.requests()[1:] == [  # The first made the table.
        Request("POST", "messages/batch", stage.recorded, 0),
        Request("POST", "query", stage.database, 400),
        Request("GET", "metrics", stage.recorded, 200),
    ]


async def test_a_new_stage_has_no_faults_and_no_requests(workerd: Cloudflare, rest: Rest) -> None:
    workerd.inject(faults.html().at("*", times=FOREVER))
    await rest.query(ADD)

    stage = workerd.stage()

    assert workerd.requests() == []
    async with Rest(workerd, stage) as fresh:
        assert await fresh.sql("SELECT 1 AS one") == [{"one": 1}]
