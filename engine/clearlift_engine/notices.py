"""What is told to people, once: alerts that begin or end to fire, and grants that died.

What was told is kept between processes, and only after it was. So it may be told twice if a process
dies in between, or is not answered in time, and it is never left out.
"""

from collections.abc import Collection, Sequence
from typing import Final, Protocol

import msgspec

from clearlift_engine.alerts import Alert, AlertName, alerts
from clearlift_engine.overview import Overview

_OF_QUEUE: Final[Collection[AlertName]] = ("queue_depth", "oldest_message")


class DeadGrant(msgspec.Struct, frozen=True):
    """A connection that waits for its user."""

    connection_id: str
    platform: str
    credentials: str  # Which of its grants that is: their fingerprint.


class Changes(msgspec.Struct, frozen=True):
    """What is other than was told last."""

    fired: Sequence[Alert] = ()
    cleared: Sequence[Alert] = ()
    grants: Sequence[DeadGrant] = ()

    @property
    def any(self) -> bool:
        """Return whether there is anything to tell."""
        return bool(self.fired or self.cleared or self.grants)


class Notices(Protocol):
    """The table `notices`: what was told."""

    async def told_alerts(self) -> Collection[str]:
        """Return the alerts that were told to fire, and not yet to have ended."""
        ...

    async def untold_grants(self, *, limit: int) -> Sequence[DeadGrant]:
        """Return connections whose grant is dead and was not told of, by id, `limit` at most.

        Those that are paused or switched off are left out: nobody waits for them.
        """
        ...

    async def note(self, changes: Changes, *, now_ms: int) -> None:
        """Remember that all of this was told, or nothing of it."""
        ...


def changes(seen: Overview, told: Collection[str], grants: Sequence[DeadGrant]) -> Changes:
    """Return what is to be told: of a queue that does not answer, nothing, for it is unknown."""
    known = [
        alert for alert in alerts(seen) if seen.queue is not None or alert.name not in _OF_QUEUE
    ]
    return Changes(
        fired=[alert for alert in known if alert.firing and alert.name not in told],
        cleared=[alert for alert in known if not alert.firing and alert.name in told],
        grants=grants,
    )
