"""Traces of a real process, as a collector gets them, and what is said where there can be none."""

import asyncio

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.cli.program import Program
from tests.loopback import Visit, answer, loopback


def spans_in(visit: Visit) -> dict[str, str]:
    """Return the spans of a request, each with its parent's id."""
    request = ExportTraceServiceRequest.FromString(visit.body)
    return {
        span.name: span.parent_span_id.hex()
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


async def test_collector_gets_one_trace_for_a_tick(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe")
    async with loopback(answer(200)) as server:
        endpoint = server.url.removesuffix("/token")

        ended = await asyncio.to_thread(
            program.run, "tick", "--relay", "--json", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint
        )

    [visit] = server.visits
    spans = spans_in(visit)
    assert (visit.target, visit.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
    assert set(spans) >= {"tick", "find due", "read connections", "commit", "deliver"}
    assert [name for name, parent in spans.items() if not parent] == ["tick"]
    assert ended.json["run_id"].encode() in visit.body
    assert b"clearlift-cron-worker" in visit.body
    assert ended.said == ["CLEARLIFT_NOW is set: this is not the time of day"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER names 'zipkin'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ""),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ""),
    ],
)
def test_what_cannot_be_traced_is_told_and_costs_nothing(
    program: Program, environment: dict[str, str], said: str
) -> None:
    ended = program.run("tick", PYTHONPROFILEIMPORTTIME="1", **environment)

    assert ended.code == 0
    assert said in ended.err
    assert "opentelemetry" not in ended.err.replace("clearlift-cron-worker[otel]", "")


@pytest.mark.parametrize(
    "wrong", [{"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, {"OTEL_TRACES_SAMPLER_ARG": "x"}]
)
def test_variables_that_the_sdk_does_not_take_cost_the_trace_and_no_tick(
    program: Program, wrong: dict[str, str]
) -> None:
    program.seed.add_connection("c", platform="stripe")

    ended = program.run("tick", "--json", OTEL_TRACES_EXPORTER="console", **wrong)

    assert (ended.code, ended.json["jobs_created"]) == (0, 1)
    assert "Traceback" not in ended.err


def test_which_variable_the_sdk_does_not_take_is_told(program: Program) -> None:
    ended = program.run("tick", OTEL_TRACES_EXPORTER="console", OTEL_BSP_MAX_QUEUE_SIZE="-1")

    assert "there is no trace: OpenTelemetry does not take" in ended.err
    assert "max_queue_size must be a positive integer" in ended.err


def test_without_the_extra_it_is_said_what_to_install(program: Program) -> None:
    # What is imported from the folder comes first: an OpenTelemetry without an SDK.
    (program.folder / "opentelemetry").mkdir()
    (program.folder / "opentelemetry" / "__init__.py").touch()

    ended = program.run("tick", OTEL_TRACES_EXPORTER="console", PYTHONPATH=str(program.folder))

    assert ended.code == 0
    assert "python3 -m pip install 'clearlift-cron-worker[otel]'" in ended.err
