"""The rules for Prometheus: its own tool takes them, and they say what `status` says."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

import pytest
from msgspec.structs import replace

from clearlift_adapters.cli.metrics import DASHBOARD, RULES, asset
from clearlift_adapters.metrics import Facts, exposition, views
from clearlift_engine.alerts import AlertName, alerts
from clearlift_engine.overview import Backlog, Crowd, Overview, RunFact
from clearlift_engine.pacing import Gate
from clearlift_engine.ports import Depth
from tests.given import NOW_MS
from tests.prometheus.promtool import promtool, written

ROOT = Path(__file__).parents[2]
ALONE = "metrics_missing"  # A rule that only Prometheus can have.
RULE = re.compile(
    r"- alert: clearlift_(?P<name>\w+)\n\s+expr: (?P<expr>.*)\n(\s+for: 5m.*\n)?"
    r"\s+labels:\n\s+severity: (?P<severity>\w+)\n\s+annotations:\n"
    r'\s+summary: "(?P<summary>.*)"\n\s+runbook: docs/recover\.md#(?P<anchor>\w+)\n'
)
RULES_IN_FILE = {found["name"]: found for found in RULE.finditer(asset(RULES).decode())}
QUIET = Overview(
    at=NOW_MS,
    crowds=[],
    backlog=Backlog(0),
    queue=Depth(0, None, 0),
    gates=[Gate("google")],
    runs=[RunFact("r", "tick", NOW_MS, NOW_MS, "done", duration_ms=1, cpu_ms=1)],
    worst=[],
    next_tick_at=NOW_MS,
)
PRINTED = {view.name for view in views(Facts(QUIET, 0))}


class Case(NamedTuple):
    """A series at its rule's limit, then above it, and what the alert then says."""

    series: str
    limit: str
    above: str
    summary: str
    labels: Mapping[str, str] = MappingProxyType({})


GOOGLE = 'clearlift_provider_breaker_open{provider="google",reason="provider_down"}'
CASES: dict[AlertName, Case] = {
    "error_rate": Case(
        "clearlift_error_ratio",
        "0.1",
        "0.11",
        "11% of the connections that were due in the last hour failed",
    ),
    "queue_depth": Case("clearlift_queue_messages", "500", "501", "501 messages are in the queue"),
    "oldest_message": Case(
        "clearlift_queue_oldest_age_seconds",
        "3600",
        "3660",
        "The oldest message has been in the queue for 1h 1m 0s",
    ),
    "missed_ticks": Case(
        "clearlift_missed_ticks", "1", "2", "2 of the last four ticks did not come"
    ),
    "stuck_relay": Case(
        "clearlift_outbox_oldest_age_seconds",
        "1800",
        "1860",
        "The oldest job has waited for the relay for 31m 0s",
    ),
    "provider_breaker": Case(
        GOOGLE,
        "0",
        "1",
        "The breaker of google is open: provider_down",
        {"provider": "google", "reason": "provider_down"},
    ),
    "audit_violation": Case(
        "clearlift_audit_violation", "0", "1", "The newest audit found a violation"
    ),
}


def expected(name: str, summary: str, labels: Mapping[str, str]) -> dict[str, Any]:
    rule = RULES_IN_FILE[name]
    runbook = f"docs/recover.md#{rule['anchor']}"
    return {
        "exp_labels": {"severity": rule["severity"], **labels},
        "exp_annotations": {"summary": summary, "runbook": runbook},
    }


def life_of(name: str, series: str, values: str, fired: dict[str, Any]) -> dict[str, Any]:
    """Return a test of an alert that fires at 30 minutes, and neither at 5 nor at 55."""
    looks: list[tuple[int, list[dict[str, Any]]]] = [(5, []), (30, [fired]), (55, [])]
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": [
            {"eval_time": f"{at}m", "alertname": f"clearlift_{name}", "exp_alerts": alerts_then}
            for at, alerts_then in looks
        ],
    }


def unit_test(tmp_path: Path, *lives: dict[str, Any]) -> str:
    rules = tmp_path / RULES
    rules.write_bytes(asset(RULES))
    content = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": lives}
    return promtool("test", "rules", str(written(tmp_path / "test.json", content)))


def test_every_alert_has_a_rule_with_its_limit_and_a_paragraph_of_its_own() -> None:
    limits = {alert.name: alert.limit for alert in alerts(QUIET)}
    guide = (ROOT / "docs/recover.md").read_text(encoding="utf-8")
    paragraphs = set(re.findall(r"^## (\w+)$", guide, re.MULTILINE))

    assert set(RULES_IN_FILE) == {*get_args(AlertName), ALONE} == paragraphs
    assert all(rule["anchor"] == name for name, rule in RULES_IN_FILE.items())
    for name, limit in limits.items():
        metric, above, number = RULES_IN_FILE[name]["expr"].split(" ")
        assert (metric in PRINTED, above, float(number)) == (True, ">", limit), name


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    rules = tmp_path / RULES
    rules.write_bytes(asset(RULES))

    assert "8 rules found" in promtool("check", "rules", str(rules))


@pytest.mark.parametrize("name", sorted(CASES))
def test_alert_fires_above_its_limit_and_clears_at_it(name: AlertName, tmp_path: Path) -> None:
    series, limit, above, summary, labels = CASES[name]
    fired = expected(name, summary, labels)

    said = unit_test(tmp_path, life_of(name, series, f"{limit}x10 {above}x29 {limit}x20", fired))

    assert "SUCCESS" in said


def test_silence_is_an_alert_until_metrics_come_again(tmp_path: Path) -> None:
    # Promtool's clock begins at 0: told at every minute, not for half an hour, and again.
    summary = "Nothing new has been heard of the worker for half an hour"
    values = "0+60x10 _x20 600x9 2400+60x20"
    series = "clearlift_observed_timestamp_seconds"

    said = unit_test(tmp_path, life_of(ALONE, series, values, expected(ALONE, summary, {})))

    assert "SUCCESS" in said


def test_prometheus_has_nothing_to_say_against_the_metrics() -> None:
    crowds = [Crowd("google", "failed", active=True, needs_reconnect=True, connections=2)]
    facts = Facts(replace(QUIET, crowds=crowds), 7)

    assert promtool("check", "metrics", stdin=exposition(facts)) == ""


def test_guide_names_every_metric_and_no_other() -> None:
    guide = (ROOT / "docs/watch.md").read_text(encoding="utf-8")

    assert set(re.findall(r"`(clearlift_\w+)", guide)) == PRINTED


def test_dashboard_asks_only_for_what_is_printed_and_prometheus_takes_every_question(
    tmp_path: Path,
) -> None:
    dashboard = asset(DASHBOARD).decode()
    questions = re.findall(r'^\s+"expr": "(.*)",$', dashboard, re.MULTILINE)
    rules = [
        {"record": f"q{number}", "expr": question.replace('\\"', '"')}
        for number, question in enumerate(questions)
    ]

    assert set(re.findall(r"clearlift_\w+", " ".join(questions))) <= PRINTED
    file = written(tmp_path / "rules.json", {"groups": [{"name": "q", "rules": rules}]})
    assert f"{len(questions)} rules found" in promtool("check", "rules", str(file))
