"""Queues behind our REST paths are queues: limits, delivery to Workers, and pulling over HTTP."""

from base64 import b64decode

import msgspec
import pytest

from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.rest import Rest, error_of

METADATA = 100  # Bytes of a message that are not its body, and count.
TEXT = 127_998 - METADATA  # The longest text a message of JSON can be, with its two quotes.


async def test_what_is_sent_is_delivered_to_the_worker(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    bodies = [{"job_id": str(number), "name": "é"} for number in range(30)]

    sent = await rest.push(stage.recorded, *bodies)

    assert sent.status_code == 200
    assert sent.json()["result"]["metadata"]["metrics"].keys() >= {"backlog_count"}
    delivered = workerd.deliveries(stage.recorded)
    assert [msgspec.json.decode(each.body) for each in delivered] == bodies
    assert {each.attempts for each in delivered} == {1}


async def test_the_same_message_twice_is_two_messages(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    await rest.push(stage.recorded, {"job_id": "a"})
    await rest.push(stage.recorded, {"job_id": "a"})

    delivered = workerd.deliveries(stage.recorded)

    assert [each.body for each in delivered] == ['{"job_id":"a"}'] * 2
    assert len({each.message_id for each in delivered}) == 2


@pytest.mark.parametrize(
    ("within", "beyond", "error"),
    [
        (["x" * TEXT], ["x" * (TEXT + 1)], (400, 10204, "Message size out of bounds")),
        (["é" * (TEXT // 2)], ["é" * (TEXT // 2 + 1)], (400, 10204, "Message size out of bounds")),
        (["x" * TEXT] * 2, ["x" * TEXT, "x" * TEXT, ""], (400, 10205, "Batch size out of bounds")),
        ([""] * 100, [""] * 101, (400, 10206, "Batch count out of bounds")),
        ([""], [], (400, 10206, "Batch count out of bounds")),
    ],
    ids=["message", "message in bytes", "batch", "count", "empty"],
)
async def test_a_batch_has_the_limits_of_queues(
    rest: Rest, stage: Stage, within: list[str], beyond: list[str], error: tuple[int, int, str]
) -> None:
    taken = await rest.push(stage.recorded, *within)
    refused = await rest.push(stage.recorded, *beyond)

    assert taken.status_code == 200, taken.text
    assert error_of(refused) == error


async def test_messages_have_a_type_and_may_have_a_delay_of_a_day(rest: Rest, stage: Stage) -> None:
    path = f"queues/{stage.pulled}/messages/batch"
    message: dict[str, object] = {"body": "text", "content_type": "json"}

    odd = await rest.post(path, {"messages": [{**message, "content_type": "xml"}]})
    long = await rest.post(path, {"messages": [{**message, "delay_seconds": 86_401}]})
    none = await rest.post(path, {})

    assert error_of(odd) == error_of(long) == (400, 10203, "Invalid message metadata")
    assert error_of(none) == (400, 10207, "Request JSON body does not match expected schema")


async def test_metrics_count_what_nobody_has_acknowledged(rest: Rest, stage: Stage) -> None:
    path = f"queues/{stage.pulled}/metrics"
    empty = (await rest.get(path)).json()["result"]

    await rest.push(stage.pulled, {"job_id": "é"}, {})

    held = (await rest.get(path)).json()["result"]
    assert empty == {"backlog_count": 0, "backlog_bytes": 0, "oldest_message_timestamp_ms": 0}
    assert (held["backlog_count"], held["backlog_bytes"]) == (2, len('{"job_id":"é"}{}'.encode()))
    assert held["oldest_message_timestamp_ms"] > 1_700_000_000_000


async def test_what_is_pulled_is_hidden_until_it_is_given_back_and_gone_when_acknowledged(
    rest: Rest, stage: Stage
) -> None:
    path = f"queues/{stage.pulled}/messages"
    await rest.push(stage.pulled, {"job_id": "a"}, {"job_id": "b"})

    [a] = (await rest.post(f"{path}/pull", {"batch_size": 1})).json()["result"]["messages"]
    [b] = (await rest.post(f"{path}/pull", {"batch_size": 9})).json()["result"]["messages"]
    leases = {"acks": [{"lease_id": a["lease_id"]}], "retries": [{"lease_id": b["lease_id"]}]}
    settled = (await rest.post(f"{path}/ack", leases)).json()["result"]
    rest_of_it = (await rest.post(f"{path}/pull", {"batch_size": 9})).json()["result"]

    assert [b64decode(each["body"]) for each in (a, b)] == [b'{"job_id":"a"}', b'{"job_id":"b"}']
    assert (settled["ackCount"], settled["retryCount"]) == (1, 1)
    assert rest_of_it["message_backlog_count"] == 1
    assert [(each["id"], each["attempts"]) for each in rest_of_it["messages"]] == [(b["id"], 2)]


async def test_a_lease_that_ran_out_is_given_anew(rest: Rest, stage: Stage) -> None:
    path = f"queues/{stage.pulled}/messages"
    await rest.push(stage.pulled, {"job_id": "a"})
    for_no_time = {"visibility_timeout_ms": 0}

    pulls = [(await rest.post(f"{path}/pull", for_no_time)).json()["result"] for _ in range(2)]

    [first, second] = [pull["messages"][0] for pull in pulls]
    assert (first["id"], first["attempts"] + 1) == (second["id"], second["attempts"])
    assert first["lease_id"] != second["lease_id"]


async def test_a_queue_is_found_by_its_id_and_needs_a_permission(
    workerd: Cloudflare, rest: Rest, stage: Stage
) -> None:
    unknown = "f" * 32

    missing = await rest.push(unknown, {})
    async with Rest(workerd, stage, token=workerd.tokens.d1_token) as without:
        refused = await without.push(stage.recorded, {})

    assert error_of(missing) == (404, 10104, "Queue does not exist")
    assert error_of(refused) == (403, 10106, "Unauthorized")
