"""Whether a run is traced: OpenTelemetry's variables say so; without them nothing is loaded."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from clearlift_adapters.cli import exits
from clearlift_adapters.cli.options import Flags
from clearlift_engine.relay import RelayPorts
from clearlift_engine.run import TickOutcome, TickPorts

if TYPE_CHECKING:  # They load what only a traced run needs.
    from clearlift_adapters.tracing.otel import OtelTrace
    from clearlift_adapters.tracing.ports import TracedRefresher

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_KNOWN: Final = ("otlp", "console")
_HTTP: Final = "http/protobuf"
_WHY_MAX: Final = 300  # Characters of what the SDK says.
_NOT_INSTALLED: Final = (
    "traces are asked for, but OpenTelemetry is not installed: python3 -m pip install "
    "'clearlift-cron-worker[otel]', or set OTEL_TRACES_EXPORTER=none"
)


class Tracing:
    """The trace of one run, or none."""

    def __init__(self, trace: "OtelTrace | None" = None) -> None:
        self._trace = trace
        self._refresher: TracedRefresher | None = None
        self.attributes: dict[str, str | int] = {}
        self.error: str | None = None

    def of_tick(self, ports: TickPorts) -> TickPorts:
        """Return the ports with a span around what takes time."""
        if self._trace is None:
            return ports
        from clearlift_adapters.tracing.ports import TracedQueue, TracedRefresher, TracedStore  # noqa: PLC0415  see above

        self._refresher = TracedRefresher(ports.refresher, self._trace)
        store = TracedStore(ports.store, self._trace)
        queue = None if ports.queue is None else TracedQueue(ports.queue, self._trace)
        return ports._replace(store=store, refresher=self._refresher, queue=queue)

    def of_relay(self, ports: RelayPorts) -> RelayPorts:
        """Return the ports with a span around what takes time."""
        if self._trace is None:
            return ports
        from clearlift_adapters.tracing.ports import TracedQueue, TracedStore  # noqa: PLC0415  see above

        trace = self._trace
        return ports._replace(
            store=TracedStore(ports.store, trace), queue=TracedQueue(ports.queue, trace)
        )

    def note(self, outcome: TickOutcome, code: int) -> None:
        """Remember what the tick has come to."""
        report = outcome.report
        counts = ("due", "refreshed", "jobs_created", "failed", "deferred", "delivered")
        self.attributes = {f"clearlift.{name}": getattr(report, name) for name in counts}
        self.attributes |= {"clearlift.run_id": report.run_id, "clearlift.exit_code": code}
        self.error = None if code == exits.DONE else f"exit code {code}"

    def finish(self, flags: Flags) -> None:
        """Send what was not sent yet; a collector that does not take it is a line in the log."""
        if self._trace is None:
            return
        try:
            if self._refresher is not None:
                self._refresher.finish()
            in_time = self._trace.end(self.attributes, self.error)
        except Exception as exc:  # noqa: BLE001  the work is done, whatever became of its trace
            flags.log.note("warning", "the trace could not be sent", why=_why(exc))
            return
        if not in_time:
            flags.log.note("warning", "the trace could not be sent in time")


@contextmanager
def traced(flags: Flags, name: str) -> Generator[Tracing]:
    """Trace what is done in the block, if the environment asks for it."""
    exporters = _exporters(flags)
    if not exporters:
        yield Tracing()
        return
    try:
        from clearlift_adapters.tracing.otel import OtelTrace, provider_of  # noqa: PLC0415  see above
    except ImportError:
        flags.log.note("warning", _NOT_INSTALLED)
        yield Tracing()
        return
    flags.log.hide(filter(None, map(flags.environment.get, _HEADERS)))
    try:
        tracing = Tracing(OtelTrace(provider_of(exporters, flags.environment), name))
    except Exception as exc:  # noqa: BLE001  a variable of the SDK's own: the work does not need it
        said = "there is no trace: OpenTelemetry does not take what its variables (OTEL_*) say"
        flags.log.note("warning", said, why=_why(exc))
        yield Tracing()
        return
    try:
        yield tracing
    except BaseException as exc:
        tracing.error = type(exc).__name__
        raise
    finally:
        tracing.finish(flags)


def _why(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:_WHY_MAX]}"


def _exporters(flags: Flags) -> Sequence[str]:
    """Return where traces are to go; what cannot be done is told, and left out."""
    environment = flags.environment
    named = environment.get("OTEL_TRACES_EXPORTER", "")
    asked = named or any(environment.get(endpoint) for endpoint in _ENDPOINTS)
    if not asked or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ()
    wanted = {name.strip() for name in (named or "otlp").split(",")} - {"none", ""}
    usable = wanted & set(_KNOWN)
    for name in sorted(wanted - usable):
        known = f"there is no such exporter here: it must be {' or '.join(_KNOWN)}"
        flags.log.note("warning", f"OTEL_TRACES_EXPORTER names {name[:80]!r}; {known}")
    protocol = _protocol(environment)
    if "otlp" in usable and protocol != _HTTP:
        said = f"traces cannot be sent by {protocol[:80]!r}: set {_PROTOCOLS[1]}={_HTTP}"
        flags.log.note("warning", said)
        usable -= {"otlp"}
    return sorted(usable)


def _protocol(environment: Mapping[str, str]) -> str:
    return next(filter(None, map(environment.get, _PROTOCOLS)), _HTTP)
