"""A tick as a trace: what it asks of the world are spans below one root."""

from collections.abc import Sequence
from threading import Event

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clearlift_adapters.tracing.otel import SPANS_MAX, OtelTrace
from clearlift_adapters.tracing.ports import TracedQueue, TracedRefresher, TracedStore
from clearlift_engine.errors import UnavailableError
from clearlift_engine.ports import Refused
from clearlift_engine.relay import RelayPorts, drain
from clearlift_engine.run import TickPorts
from clearlift_engine.tick import tick
from tests.given import NOW_MS, plain
from tests.worker import Worker, never
from tests.world import counted_ids


class Traced:
    """A trace whose spans can be looked at."""

    def __init__(self) -> None:
        self.exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.trace = OtelTrace(provider, "tick")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def attributes(self, name: str) -> list[dict[str, object]]:
        return [dict(span.attributes or {}) for span in self.spans if span.name == name]


async def tick_and_relay(worker: Worker, traced: Traced) -> None:
    """Make a pass and deliver, as `tick --relay` does."""
    world, clock = worker.world, worker.clock
    refresher = TracedRefresher(worker.refresher, traced.trace)
    store = TracedStore(world.store, traced.trace)
    await tick(
        TickPorts(store, world.vault, refresher, worker.rescue, clock, counted_ids("job")),
        worker.settings,
        run_id="run",
        now_ms=NOW_MS,
        should_stop=never,
        note=worker.note,
    )
    await drain(
        RelayPorts(store, TracedQueue(worker.queue, traced.trace), world.leases, clock),
        run_id="run",
        batch=10,
        should_stop=never,
        note=worker.note,
    )
    refresher.finish()


async def test_what_a_tick_asks_of_the_world_are_spans_below_one_root(worker: Worker) -> None:
    worker.seed.add_connection("lasts")
    for number in range(3):
        worker.seed.add_connection(f"c{number}", expires_at=plain(NOW_MS))
    worker.refresher.script("c2", Refused("transient", "away", latency_ms=70))
    traced = Traced()

    await tick_and_relay(worker, traced)
    traced.trace.end({"clearlift.due": 4}, None)

    names = {span.name for span in traced.spans}
    root = traced.spans[-1]
    assert names >= {"find due", "read connections", "claim", "commit", "refresh google", "deliver"}
    assert (root.name, root.parent) == ("tick", None)
    assert {span.parent and span.parent.span_id for span in traced.spans[:-1]} == {
        root.context and root.context.span_id
    }
    [refreshes] = traced.attributes("refresh google")
    assert refreshes["clearlift.refreshed"] == 2
    assert (refreshes["clearlift.transient"], refreshes["clearlift.longest_ms"]) == (1, 70)
    assert sum(int(str(each["clearlift.messages"])) for each in traced.attributes("deliver")) == 3


async def test_span_says_which_error_ended_it() -> None:
    traced = Traced()

    with pytest.raises(UnavailableError), traced.trace.child("commit"):
        raise UnavailableError("the database does not answer")
    traced.trace.end({}, "exit code 5")

    assert [span.status.description for span in traced.spans] == ["UnavailableError", "exit code 5"]
    assert not any(span.events for span in traced.spans)


async def test_run_of_very_many_spans_keeps_some_and_counts_the_others() -> None:
    traced = Traced()

    for _ in range(SPANS_MAX + 3):
        with traced.trace.child("commit") as span:
            span.set_attribute("clearlift.jobs", 1)
    traced.trace.end({}, None)

    assert len(traced.spans) == SPANS_MAX + 1
    assert traced.attributes("tick") == [{"clearlift.spans_left_out": 3}]


def test_collector_that_hangs_is_not_waited_for() -> None:
    go_on = Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            go_on.wait()
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Hanging()))
    trace = OtelTrace(provider, "tick")

    assert trace.end({}, None, within_s=0.05) is False
    go_on.set()
