"""`health`: the quick check for probes, by four small questions to the database and no other."""

from collections.abc import Sequence
from typing import Final

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.cli.schedule import expected, longest_gap
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.migrations import pending
from clearlift_engine.alerts import RECENT_TICKS, alerts, spoken
from clearlift_engine.errors import CronWorkerError
from clearlift_engine.overview import RUNS_MAX, Overview
from clearlift_engine.policy import DAY_MS

_LOOKED_AT: Final = ("missed_ticks", "stuck_relay")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that has to be so."""

    check: str
    ok: bool
    found: str
    remedy: str | None = None


class HealthReport(msgspec.Struct, frozen=True):
    """What `health --json` prints."""

    healthy: bool
    checks: Sequence[Check]


@click.command(
    "health", cls=Command, short_help="Say by the exit code whether all is well: 0 or 7."
)
@click.pass_obj
def command(flags: Flags) -> int:
    """See that the database answers, its tables are up to date, ticks come, and the relay delivers.

    For probes: it is cheap, and the exit code is 0 or 7. `doctor` looks closer.
    """
    checks = stopping.run(_checked(flags))
    healthy = all(check.ok for check in checks)
    if flags.json:
        print_json(HealthReport(healthy, checks))
    else:
        for check in checks:
            remedy = "" if check.ok else f"; next: {check.remedy}"
            print_line(f"{'ok' if check.ok else 'not ok'}: {check.found}{remedy}")
    return exits.DONE if healthy else exits.UNSATISFIED


async def _checked(flags: Flags) -> Sequence[Check]:
    try:
        async with open_world(flags, "ro") as world:
            lacking = await pending(world.backend.db)
            if lacking:
                found = f"{len(lacking)} migrations are not applied"
                return [_wrong("schema", found, "clearlift-cron migrate")]
            found = "the database answers, and is up to date"
            return [Check(check="database", ok=True, found=found), *await _going(world)]
    except CronWorkerError as exc:
        return [_wrong("database", " ".join(str(exc).split()), "clearlift-cron doctor")]


def _wrong(check: str, found: str, remedy: str) -> Check:
    return Check(check=check, ok=False, found=found, remedy=remedy)


async def _going(world: World) -> Sequence[Check]:
    """Return whether ticks come and jobs are delivered."""
    monitor, cron, now_ms = world.backend.monitor, world.settings.cron, world.clock.now()
    # At least the ticks that the rule looks at, also where they are rarer than days.
    since_ms = now_ms - max(DAY_MS, longest_gap(cron, now_ms) * (RECENT_TICKS + 1))
    runs = await monitor.runs(since_ms=since_ms, limit=RUNS_MAX)
    began = [run.started_at for run in runs if run.command == "tick"]
    seen = Overview(
        at=now_ms,
        crowds=(),
        backlog=await monitor.backlog(),
        queue=None,
        gates=(),
        runs=runs,
        worst=(),
        expected_ticks=expected(cron, after_ms=min(began, default=since_ms), until_ms=now_ms),
    )
    checks = [
        Check(check=alert.name, ok=not alert.firing, found=alert.sentence, remedy=alert.next_step)
        for alert in alerts(seen)
        if alert.name in _LOOKED_AT
    ]
    if not began:
        found = f"no tick in the last {spoken(now_ms - since_ms)}"
        checks[0] = _wrong("missed_ticks", found, "run clearlift-cron tick as scheduled")
    return checks
