"""A trace by OpenTelemetry's SDK, which reads its own variables: endpoint, headers, sampler, names.

The extra `otel` brings it; it is imported when one of those variables asks for traces.
"""

import logging
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from clearlift_adapters.tracing.ports import Attributes

SERVICE: Final = "clearlift-cron-worker"
SPANS_MAX: Final = 1_000  # Of one run: the SDK keeps 2,048 until they are sent.
SEND_WITHIN_S: Final = 5.0  # At the end of a run, whatever the collector does.


class OtelTrace:
    """A root span and its children; see `end`."""

    def __init__(self, provider: TracerProvider, name: str) -> None:
        self._provider, self._tracer = provider, provider.get_tracer(SERVICE)
        self._root: Span = self._tracer.start_span(name, Context())
        self._context = set_span_in_context(self._root, Context())
        self._children = 0

    @contextmanager
    def child(self, name: str) -> Generator[Span]:
        """Return a span that lasts as long as the block, and says which error ended it."""
        span = self._started(name)
        try:
            yield span
        except BaseException as exc:
            span.set_status(Status(StatusCode.ERROR, type(exc).__name__))
            raise
        finally:
            span.end()

    def add(self, name: str, began_ns: int, ended_ns: int, attributes: Attributes) -> None:
        """Add a span that is over."""
        span = self._started(name, began_ns)
        span.set_attributes(dict(attributes))
        span.end(ended_ns)

    def end(
        self, attributes: Attributes, error: str | None, within_s: float = SEND_WITHIN_S
    ) -> bool:
        """End the root span and send what was not sent yet; return whether that is done in time."""
        self._root.set_attributes(dict(attributes))
        if self._children > SPANS_MAX:
            self._root.set_attribute("clearlift.spans_left_out", self._children - SPANS_MAX)
        if error is not None:
            self._root.set_status(Status(StatusCode.ERROR, error))
        self._root.end(time.time_ns())
        # Shutting down may wait for half a minute, and nothing makes it stop: a daemon does it.
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(within_s)
        return not sending.is_alive()

    def _started(self, name: str, began_ns: int | None = None) -> Span:
        self._children += 1
        if self._children > SPANS_MAX:
            return INVALID_SPAN
        return self._tracer.start_span(name, self._context, start_time=began_ns)


def provider_of(exporters: Sequence[str], environment: Mapping[str, str]) -> TracerProvider:
    """Return what makes spans and sends them to these exporters: otlp, console."""
    attributes: dict[str, str] = {SERVICE_VERSION: version(SERVICE)}
    # What is given here would win over the variables.
    if SERVICE_NAME not in environment.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes[SERVICE_NAME] = environment.get("OTEL_SERVICE_NAME") or SERVICE
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    for name in exporters:
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    return provider


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter(out=sys.stderr)  # Results have stdout to themselves.
    # It tells of each try; that all were in vain is one line of ours.
    logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.ERROR)
    return OTLPSpanExporter()
