"""`tick --dry-run`: what a tick would do now, as a plan that can be read.

No token is opened and no provider is asked, so what only they could tell is not in it. That a token
is missing altogether is seen in the row.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from clearlift_adapters.cli.output import Columns, counted, print_json, print_line, readable
from clearlift_adapters.cli.world import World
from clearlift_adapters.credentials import Column, StoredCredentials
from clearlift_engine.events import SyncWindow
from clearlift_engine.policy import Candidate
from clearlift_engine.preview import (
    LeftAlone,
    PlannedJob,
    PlannedRefresh,
    TickPlan,
    preview,
    preview_of,
)
from clearlift_engine.run import TickSettings

PAGE: Final = 500

_MISSING: Final[Mapping[Column, str]] = {
    "credentials_encrypted": "it has no access token to exchange; the user must reconnect",
    "refresh_token_encrypted": "it has no refresh token; the user must reconnect",
}


class PlanView(msgspec.Struct, frozen=True):
    """What `tick --dry-run --json` prints."""

    jobs: Sequence[PlannedJob]
    refreshes: Sequence[PlannedRefresh]
    blocked: Sequence[LeftAlone]


async def plan(world: World, settings: TickSettings) -> TickPlan:
    """Return the plan of a tick."""
    backend = world.backend
    found = await preview(
        backend.store, backend.survey, world.refresher, settings, now_ms=world.clock.now()
    )
    return await _without_tokenless(world, found)


async def plan_of(world: World, conn: Candidate) -> TickPlan:
    """Return the plan of a tick that had only one connection to serve."""
    found = await preview_of(
        conn,
        world.backend.store,
        world.refresher,
        TickSettings(world.settings.schedule),
        now_ms=world.clock.now(),
    )
    return await _without_tokenless(world, found)


async def _without_tokenless(world: World, found: TickPlan) -> TickPlan:
    """Move what would fail for want of a token to what is blocked."""
    tokenless: dict[str, LeftAlone] = {}
    for start in range(0, len(found.refreshes), PAGE):
        page = {each.connection_id: each for each in found.refreshes[start : start + PAGE]}
        for credentials in await world.backend.vault.credentials(list(page)):
            assert isinstance(credentials, StoredCredentials), "the vault is one of ours"
            planned = page[credentials.connection_id]
            why = _missing(world, planned.platform, credentials)
            if why is not None:
                left = LeftAlone(planned.connection_id, planned.platform, "no_token", None, why)
                tokenless[planned.connection_id] = left
    if not tokenless:
        return found
    return msgspec.structs.replace(
        found,
        jobs=[each for each in found.jobs if each.connection_id not in tokenless],
        refreshes=[each for each in found.refreshes if each.connection_id not in tokenless],
        blocked=[*found.blocked, *tokenless.values()],
    )


def _missing(world: World, platform: str, credentials: StoredCredentials) -> str | None:
    column = world.settings.providers[platform].shape.sends
    held = credentials.access if column == "credentials_encrypted" else credentials.refresh
    return None if held else _MISSING[column]


def print_plan(found: TickPlan, *, as_json: bool) -> None:
    """Print a plan, for programs or for people."""
    if as_json:
        print_json(PlanView(found.jobs, found.refreshes, found.blocked))
        return
    print_line(
        f"at {found.now}: {counted(len(found.jobs), 'job')}, {len(found.refreshes)} of them after "
        f"a token refresh; {len(found.blocked)} blocked, {found.not_due} not due"
    )
    jobs = Columns("job for", "type", "window from", "to", "refresh first")
    jobs.write(
        (job.connection_id, job.job_type, *_window(job.sync_window), job.after_refresh)
        for job in found.jobs
    )
    blocked = Columns("blocked", "clause", "until", "waits for")
    blocked.write(
        (each.connection_id, each.clause, readable(each.until), each.why) for each in found.blocked
    )


def _window(window: SyncWindow) -> tuple[str | None, str | None]:
    return readable(window.start), readable(window.end)
