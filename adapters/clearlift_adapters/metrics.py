"""What Prometheus is told: an Overview as metrics, in a registry that holds nothing else.

Everything is read from the database when it is asked for, by whichever process is asked, so nearly
all are gauges. The one counter is the log's last position, which never goes down. Labels have few
values: a platform, a state, a provider, a command, an alert; never a connection or an organisation.
What is not known is left out: a queue that does not answer has no depth, and not a depth of 0.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final, NamedTuple, get_args

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clearlift_engine.alerts import alerts, missed
from clearlift_engine.overview import Crowd, Overview, RunFact
from clearlift_engine.pacing import BreakerReason, Gate

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST  # Of `exposition`.

PLATFORMS_MAX: Final = 40  # Anybody may write any word into the column.
OTHERS: Final = "other"
NEVER_SERVED: Final = "never_served"
INACTIVE: Final = "inactive"

_Samples = Iterable[tuple[tuple[str, ...], float]]


class Facts(NamedTuple):
    """What metrics are made of."""

    seen: Overview
    events: int  # Ever appended to the log.


class SampleView(msgspec.Struct, frozen=True):
    """One number, as `metrics --json` has it."""

    labels: Mapping[str, str]
    value: float


class MetricView(msgspec.Struct, frozen=True):
    """One metric, as `metrics --json` has it."""

    name: str
    type: str
    help: str
    samples: Sequence[SampleView]


def exposition(facts: Facts) -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(registry_of(facts))


def views(facts: Facts) -> Sequence[MetricView]:
    """Return the metrics as JSON has them."""
    return [
        MetricView(
            each.samples[0].name if each.samples else each.name,
            each.type,
            each.documentation,
            [SampleView(sample.labels, sample.value) for sample in each.samples],
        )
        for each in _families(facts)
    ]


def registry_of(facts: Facts) -> CollectorRegistry:
    """Return a registry of these metrics, without any of this process."""
    registry = CollectorRegistry()
    registry.register(_Collector(facts))
    return registry


class _Collector(Collector):
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterable[Metric]:
        return _families(self._facts)


def _families(facts: Facts) -> Iterator[Metric]:
    seen = facts.seen
    yield _gauge(
        "clearlift_build_info", "Version of the worker.", [((_version(),), 1)], ("version",)
    )
    yield _one("clearlift_observed_timestamp_seconds", "When all this was looked at.", _s(seen.at))
    yield _counter("clearlift_log_events", "Transitions ever appended to the log.", facts.events)
    yield from _connections(seen.crowds)
    yield from _waiting(seen)
    yield from _providers(seen.gates)
    yield from _judged(seen)
    yield from _ticks(seen)
    yield from _runs(seen.runs)
    yield from _alerts(seen)


def _connections(crowds: Sequence[Crowd]) -> Iterator[Metric]:
    known = _known(crowds)
    states = Counter[tuple[str, ...]]()
    reconnect, stuck, expired, expiring = (Counter[tuple[str, ...]]() for _ in range(4))
    for crowd in crowds:
        platform = crowd.platform if crowd.platform in known else OTHERS
        state = (crowd.state or NEVER_SERVED) if crowd.active else INACTIVE
        states[platform, state] += crowd.connections
        if crowd.active:
            reconnect[(platform,)] += crowd.connections if crowd.needs_reconnect else 0
            stuck[(platform,)] += crowd.stuck
            expired[(platform,)] += crowd.expired
            expiring[(platform,)] += crowd.expiring
    yield _gauge(
        "clearlift_connections",
        "Connections by state; those that are switched off count as inactive.",
        states.items(),
        ("platform", "state"),
    )
    for name, text, counts in (
        (
            "clearlift_connections_needing_reconnect",
            "Active connections whose grant is dead: their users must connect again.",
            reconnect,
        ),
        (
            "clearlift_connections_stuck",
            "Active connections left as syncing for longer than a job may take.",
            stuck,
        ),
        (
            "clearlift_tokens_expired",
            "Active connections whose access token has ended, or has an unreadable end.",
            expired,
        ),
        (
            "clearlift_tokens_expiring",
            "Active connections whose access token ends within a day.",
            expiring,
        ),
    ):
        yield _gauge(name, text, counts.items(), ("platform",))


def _known(crowds: Sequence[Crowd]) -> set[str]:
    """Return the platforms that get a label of their own: those with the most connections."""
    sizes = Counter[str]()
    for crowd in crowds:
        sizes[crowd.platform] += crowd.connections
    return {platform for platform, _ in sizes.most_common(PLATFORMS_MAX)}


def _waiting(seen: Overview) -> Iterator[Metric]:
    backlog, queue = seen.backlog, seen.queue
    yield _one("clearlift_outbox_jobs", "Jobs that wait for the relay.", backlog.jobs)
    yield _one(
        "clearlift_outbox_oldest_age_seconds",
        "How long the oldest of them has waited; 0 if none does.",
        _age(seen, backlog.oldest_at),
    )
    yield _one("clearlift_queue_up", "Whether the queue said what it holds.", queue is not None)
    if queue is None:
        return
    yield _one("clearlift_queue_messages", "Messages in the queue.", queue.messages)
    yield _one(
        "clearlift_queue_oldest_age_seconds",
        "How long the oldest of them has been there; 0 if there is none.",
        _age(seen, queue.oldest_at),
    )
    if queue.dead is not None:
        yield _one("clearlift_queue_dead_letters", "Messages nobody could use.", queue.dead)


def _providers(gates: Sequence[Gate]) -> Iterator[Metric]:
    yield _gauge(
        "clearlift_provider_breaker_open",
        "Whether a provider's breaker is open, and why.",
        [
            ((gate.provider, reason), gate.breaker == reason)
            for gate in gates
            for reason in get_args(BreakerReason)
        ],
        ("provider", "reason"),
    )
    yield _gauge(
        "clearlift_provider_failures",
        "Transient failures in a row; five open the breaker.",
        [((gate.provider,), gate.failures) for gate in gates],
        ("provider",),
    )
    yield _gauge(
        "clearlift_provider_paused_until_timestamp_seconds",
        "Until when the provider has asked to be left alone; 0 if it never has.",
        [((gate.provider,), _s(gate.paused_until)) for gate in gates],
        ("provider",),
    )


def _judged(seen: Overview) -> Iterator[Metric]:
    values = {alert.name: alert.value for alert in alerts(seen)}
    yield _one(
        "clearlift_error_ratio",
        "Part of the connections due in the last hour that failed.",
        values["error_rate"],
    )
    yield _one(
        "clearlift_missed_ticks",
        "How many of the last four expected ticks did not come.",
        values["missed_ticks"],
    )
    yield _one(
        "clearlift_missed_ticks_day",
        "How many ticks expected in the last day did not come.",
        len(missed(seen.expected_ticks, seen.ticks, seen.at)),
    )
    yield _one(
        "clearlift_audit_violation",
        "Whether the newest audit of the last day found a violation.",
        values["audit_violation"],
    )


def _ticks(seen: Overview) -> Iterator[Metric]:
    if seen.next_tick_at is not None:
        yield _one(
            "clearlift_next_tick_timestamp_seconds",
            "When the schedule wants the next tick.",
            _s(seen.next_tick_at),
        )
    ended = next((run for run in seen.ticks if run.finished_at is not None), None)
    if ended is None:
        return
    if ended.duration_ms is not None:
        yield _one(
            "clearlift_last_tick_duration_seconds",
            "How long the last tick that ended took.",
            _s(ended.duration_ms),
        )
    if ended.cpu_ms is not None:
        yield _one(
            "clearlift_last_tick_cpu_seconds",
            "How much CPU time, user and system, it used.",
            _s(ended.cpu_ms),
        )
    yield _gauge(
        "clearlift_last_tick_connections",
        "What came of the connections that were due in the last tick that ended.",
        [((name,), getattr(ended, name)) for name in _RESULTS],
        ("result",),
    )


_RESULTS: Final = ("due", "refreshed", "jobs_created", "failed", "deferred", "delivered")


def _runs(runs: Sequence[RunFact]) -> Iterator[Metric]:
    begun: dict[str, RunFact] = {}
    ended: dict[str, RunFact] = {}
    for run in reversed(runs):
        begun[run.command] = run
        if run.finished_at is not None:
            ended[run.command] = run
    yield _gauge(
        "clearlift_last_run_start_timestamp_seconds",
        "When the last run of a command began, if it was in the last day.",
        [((command,), _s(run.started_at)) for command, run in sorted(begun.items())],
        ("command",),
    )
    yield _gauge(
        "clearlift_last_run_end_timestamp_seconds",
        "When the last run of a command that has ended did so.",
        [((command,), _s(run.finished_at or 0)) for command, run in sorted(ended.items())],
        ("command",),
    )
    yield _gauge(
        "clearlift_last_run_outcome",
        "How the last run of a command that has ended did so.",
        [((command, run.outcome or ""), 1) for command, run in sorted(ended.items())],
        ("command", "outcome"),
    )


def _alerts(seen: Overview) -> Iterator[Metric]:
    yield _gauge(
        "clearlift_alert_firing",
        "Whether the worker's own rule of this name fires.",
        [((alert.name,), alert.firing) for alert in alerts(seen)],
        ("alert",),
    )


def _one(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, [((), value)])


def _gauge(name: str, text: str, samples: _Samples, labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, float(number))
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _age(seen: Overview, since_ms: int | None) -> float:
    return 0.0 if since_ms is None else _s(max(seen.at - since_ms, 0))


def _s(ms: float) -> float:
    return ms / 1000


def _version() -> str:
    return version("clearlift-cron-worker")
