"""Metrics say what an Overview says, and in Prometheus' own format."""

from collections.abc import Mapping
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from clearlift_adapters.metrics import OTHERS, PLATFORMS_MAX, Facts, exposition, views
from clearlift_engine.overview import Backlog, Crowd, Overview, RunFact
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import MINUTE_MS
from clearlift_engine.ports import Depth
from tests.given import NOW_MS

QUIET = Overview(
    at=NOW_MS, crowds=[], backlog=Backlog(0), queue=Depth(0), gates=[], runs=[], worst=[]
)
TICK = RunFact(
    *("2", "tick", NOW_MS - 9000, NOW_MS - 7000, "many_failed"),
    due=4,
    failed=1,
    duration_ms=1500,
    cpu_ms=250,
)
Samples = Mapping[tuple[str, ...], float]


def crowd(platform: str, connections: int = 1, **fields: Any) -> Crowd:  # noqa: ANN401  of Crowd
    facts: dict[str, Any] = {
        "state": "enqueued",
        "active": True,
        "needs_reconnect": False,
        **fields,
    }
    return Crowd(platform, connections=connections, **facts)


def read(events: int = 0, **facts: Any) -> Mapping[str, Samples]:  # noqa: ANN401  of Overview
    """Return what a scrape of such an Overview reads: by name and labels' values."""
    text = exposition(Facts(msgspec.structs.replace(QUIET, **facts), events)).decode()
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {
        name: {tuple(s.labels.values()): s.value for s in samples if s.name == name}
        for name in {sample.name for sample in samples}
    }


def test_connections_are_counted_by_platform_and_state() -> None:
    seen = read(
        crowds=[
            crowd("google", 7, expired=2, expiring=3, stuck=1),
            crowd("google", 2, state="failed", needs_reconnect=True),
            crowd("google", 5, state="failed", active=False, needs_reconnect=True, expired=5),
            crowd("stripe", 4, state=None),
        ]
    )

    assert seen["clearlift_connections"] == {
        ("google", "enqueued"): 7,
        ("google", "failed"): 2,
        ("google", "inactive"): 5,
        ("stripe", "never_served"): 4,
    }
    assert seen["clearlift_connections_needing_reconnect"] == {("google",): 2, ("stripe",): 0}
    assert seen["clearlift_connections_stuck"]["google",] == 1
    assert seen["clearlift_tokens_expired"]["google",] == 2
    assert seen["clearlift_tokens_expiring"]["google",] == 3


def test_invented_platforms_share_one_label() -> None:
    crowds = [crowd(f"p{number}", number) for number in range(1, PLATFORMS_MAX + 11)]

    counted = read(crowds=crowds)["clearlift_connections"]

    assert len(counted) == PLATFORMS_MAX + 1
    assert counted[OTHERS, "enqueued"] == sum(range(1, 11))


def test_what_waits_has_a_number_and_an_age() -> None:
    since = NOW_MS - MINUTE_MS

    seen = read(backlog=Backlog(3, since), queue=Depth(5, since - 1000, 2))

    assert (seen["clearlift_outbox_jobs"][()], seen["clearlift_queue_messages"][()]) == (3, 5)
    assert seen["clearlift_outbox_oldest_age_seconds"][()] == 60
    assert seen["clearlift_queue_oldest_age_seconds"][()] == 61
    assert (seen["clearlift_queue_up"][()], seen["clearlift_queue_dead_letters"][()]) == (1, 2)


def test_queue_that_does_not_answer_has_no_depth() -> None:
    seen = read(queue=None)

    assert seen["clearlift_queue_up"][()] == 0
    assert "clearlift_queue_messages" not in seen


def test_runs_are_known_by_their_command() -> None:
    at_work = RunFact("3", "tick", NOW_MS, None, None)
    audit = RunFact("1", "replay", NOW_MS - 20_000, NOW_MS - 19_000, "violated")

    seen = read(runs=[at_work, TICK, audit], events=12)

    assert seen["clearlift_last_run_start_timestamp_seconds"]["tick",] == NOW_MS / 1000
    assert seen["clearlift_last_run_end_timestamp_seconds"]["tick",] == NOW_MS / 1000 - 7
    outcomes = {("tick", "many_failed"), ("replay", "violated")}
    assert set(seen["clearlift_last_run_outcome"]) == outcomes
    assert seen["clearlift_audit_violation"][()] == 1
    assert seen["clearlift_log_events_total"][()] == 12


def test_last_tick_that_ended_says_what_came_of_it() -> None:
    seen = read(runs=[RunFact("3", "tick", NOW_MS, None, None), TICK])

    assert seen["clearlift_last_tick_connections"]["due",] == 4
    assert seen["clearlift_last_tick_duration_seconds"][()] == 1.5
    assert seen["clearlift_last_tick_cpu_seconds"][()] == 0.25
    assert seen["clearlift_error_ratio"][()] == 0.25


def test_open_breaker_says_why_and_its_alert_fires() -> None:
    gates = [Gate("google", breaker="suspect", failures=2, paused_until=NOW_MS), Gate("tiktok")]

    seen = read(gates=gates)

    opened = {key for key, number in seen["clearlift_provider_breaker_open"].items() if number}
    fired = {key for key, number in seen["clearlift_alert_firing"].items() if number}
    assert (opened, fired) == ({("google", "suspect")}, {("provider_breaker",)})
    assert seen["clearlift_provider_failures"]["google",] == 2


def test_json_has_the_same_metrics() -> None:
    facts = Facts(QUIET, 5)
    text = {each.name for each in text_string_to_metric_families(exposition(facts).decode())}

    found = views(facts)

    assert {view.name.removesuffix("_total") for view in found} == text
    [events] = [view for view in found if view.type == "counter"]
    assert [(each.labels, each.value) for each in events.samples] == [({}, 5)]
