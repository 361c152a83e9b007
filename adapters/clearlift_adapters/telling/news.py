"""Says in Slack what has changed, once: alerts that begin or end to fire, and grants that died."""

import shlex
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from clearlift_engine.alerts import Alert
from clearlift_engine.notices import Changes, DeadGrant, Notices, changes
from clearlift_engine.overview import Overview
from clearlift_engine.ports import Leases

GRANTS_MAX: Final = 500  # Noted in one go; the next tick tells of more.
GRANTS_NAMED: Final = 20  # In one message.
ID_CHARS_MAX: Final = 200
LEASE: Final = "notices"
LEASE_MS: Final = 60_000  # Longer than anybody waits for Slack.

Say = Callable[[str], Awaitable[bool]]  # Returns whether it was said.


async def tell_news(
    seen: Overview, notices: Notices, leases: Leases, say: Say, *, run_id: str
) -> None:
    """Say what has changed since something was said last, and remember it.

    Raises:
        UnavailableError: the database does not answer.
        ConfigurationError: it has no table for what was told.
    """
    if not (await _changes(seen, notices)).any:
        return
    if not await leases.hold(LEASE, run_id, now_ms=seen.at, until_ms=seen.at + LEASE_MS):
        return  # Another tick tells it.
    try:
        news = await _changes(seen, notices)  # Another may have told it just before.
        if news.any and await say(text_of(news)):
            await notices.note(news, now_ms=seen.at)
    finally:
        await leases.hold(LEASE, run_id, now_ms=seen.at, until_ms=seen.at)


async def _changes(seen: Overview, notices: Notices) -> Changes:
    grants = await notices.untold_grants(limit=GRANTS_MAX)
    return changes(seen, await notices.told_alerts(), grants)


def text_of(news: Changes) -> str:
    """Return the news as Slack's mrkdwn."""
    lines = ["*ClearLift cron worker*"]
    lines += [line for alert in news.fired for line in _fired(alert)]
    lines += [
        f":white_check_mark: *{alert.name}* has ended: {_escaped(alert.sentence)}"
        for alert in news.cleared
    ]
    lines += [_dead(grant) for grant in news.grants[:GRANTS_NAMED]]
    unnamed = len(news.grants) - GRANTS_NAMED
    if unnamed > 0:
        lines.append(f":link: … and {unnamed} more: `clearlift-cron failures`")
    return "\n".join(lines)


def _fired(alert: Alert) -> Iterator[str]:
    yield f":rotating_light: *{alert.name}*: {_escaped(alert.sentence)}"
    yield f"> {_escaped(alert.next_step)} (docs/recover.md#{alert.name})"


def _dead(grant: DeadGrant) -> str:
    connection = _escaped(shlex.quote(grant.connection_id[:ID_CHARS_MAX]))
    return (
        f":link: {_escaped(grant.platform)} has ended a grant, its user must connect again: "
        f"`clearlift-cron explain {connection}`"
    )


def _escaped(text: str) -> str:
    """Return `text` so that nothing in it is a mention or a link, nor ends what is set as code."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("`", "'")):
        text = text.replace(sign, entity)
    return " ".join(text.split())
