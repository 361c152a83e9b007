"""A report with everything on it: every alert fires, every arrow is used, every name is long."""

from msgspec.structs import replace

from clearlift_adapters.web.facts import Facts, Sealed
from clearlift_engine.events import encode
from clearlift_engine.machine import NEXT_STATE, STATES
from clearlift_engine.overview import Audit, Backlog, Crowd, Flow, Overview, RunFact, Trouble
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import DAY_MS, MINUTE_MS
from clearlift_engine.ports import Depth
from tests.given import NOW_MS, failed

QUARTER_MS = 15 * MINUTE_MS
LONG = "<b>Sehr lange Firmennamen-Gesellschaft & Söhne</b> 日本語の会社名 " * 2


def busy() -> Facts:
    """Return facts that fill the page."""
    slots = [NOW_MS - DAY_MS + QUARTER_MS * number for number in range(1, 97)]
    runs = [_run(number, at) for number, at in enumerate(slots[:-3]) if number % 11]
    audit = RunFact("a", "replay", NOW_MS - 1, NOW_MS, "violated")
    seen = Overview(
        at=NOW_MS,
        crowds=[
            Crowd(platform, state, active=True, needs_reconnect=False, connections=1_234_567)
            for platform in ("facebook", "google", "stripe", "tiktok", LONG)
            for state in (None, *STATES)
        ],
        backlog=Backlog(1_000_000, NOW_MS - DAY_MS),
        queue=Depth(12_345_678, NOW_MS - 5 * DAY_MS),
        gates=[Gate("google", breaker="provider_down", opened_at=1)],
        runs=[audit, *reversed(runs)],
        worst=[_trouble(number) for number in range(5)],
        expected_ticks=slots,
        next_tick_at=NOW_MS + QUARTER_MS,
    )
    flows = [
        Flow(source, transition, target, 999_999, NOW_MS - DAY_MS)
        for (source, transition), target in NEXT_STATE.items()
        if transition != "paused" or source is not None
    ]
    seal = Sealed(12, 12_345_678, "2026-10-10T11:00:00.000Z", 1_000)
    audits = [Audit("replay", NOW_MS, "violated", 12_345_678, 3)]
    return Facts(overview=seen, flows=flows, flows_cut=True, audits=audits, seal=seal)


def _run(number: int, at_ms: int) -> RunFact:
    outcome = "many_failed" if number % 7 == 0 else "done"
    run = RunFact("r", "tick", at_ms, at_ms + 900 + number * 10, outcome, due=900)
    return replace(run, jobs_created=700 + number * 3, failed=200 + number)


def _trouble(number: int) -> Trouble:
    data = encode(failed(retry_at=None if number % 2 else NOW_MS + DAY_MS))
    return Trouble(f"{LONG}-{number}", "google", LONG, 1_000 - number, NOW_MS, None, data)
