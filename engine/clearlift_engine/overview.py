"""What an operator sees: the worker and its connections at one moment, as bare facts.

Everything comes from the log and the tables; nothing else is asked. What the facts mean, and which
of them should wake somebody, is in `alerts`. Times are `int`, milliseconds since 1970, UTC.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from clearlift_engine.machine import State
from clearlift_engine.pacing import Gate
from clearlift_engine.policy import DAY_MS
from clearlift_engine.ports import Depth

EXPIRING_MS: Final = DAY_MS
RUNS_MAX: Final = 1_000  # Of the last day: ten days of ticks, or a day of ticks by the minute.
WORST_MAX: Final = 20
FLOW_ROWS_MAX: Final = 1_000_000  # Of the last day: read in a second, and no more is needed.


class Crowd(msgspec.Struct, frozen=True):
    """Connections that are alike, and how many they are."""

    platform: str
    state: State | None  # None: nothing has happened yet.
    active: bool
    needs_reconnect: bool
    connections: int
    expired: int = 0  # Of these, whose access token has ended,
    expiring: int = 0  # whose token ends within a day,
    stuck: int = 0  # that were left as syncing for longer than the job time limit.


class RunFact(msgspec.Struct, frozen=True):
    """A row of `runs`, and what its report counts; 0 where it does not say."""

    id: str
    command: str
    started_at: int
    finished_at: int | None  # None: still at work, or killed.
    outcome: str | None
    due: int = 0
    refreshed: int = 0
    jobs_created: int = 0
    failed: int = 0
    deferred: int = 0
    delivered: int = 0
    duration_ms: int | None = None  # None: it has not ended.
    cpu_ms: int | None = None  # User and system; None: not measured.
    error: str | None = None  # What broke it off.


class Trouble(msgspec.Struct, frozen=True):
    """A connection that failed: how often since its last job, and what its newest failure says."""

    connection_id: str
    platform: str | None  # None: it was deleted since.
    account_name: str | None
    failures: int
    failed_at: int
    retry_at: int | None  # None: its user must reconnect.
    data: str  # Of that failure, JSON: a SyncFailed.


class Flow(msgspec.Struct, frozen=True):
    """A move of the state machine, and how often the log has it."""

    source: State | None  # None: it was the connection's first.
    transition: str
    target: State
    events: int
    first_at: int  # When the first of them happened.


class Audit(msgspec.Struct, frozen=True):
    """The newest run of a command that audits the log, and how it ended."""

    command: str
    started_at: int
    outcome: str
    events: int | None  # None: its report does not say.
    violations: int | None


class Backlog(msgspec.Struct, frozen=True):
    """The jobs that the queue does not have yet."""

    jobs: int
    oldest_at: int | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one moment."""

    at: int
    crowds: Sequence[Crowd]
    backlog: Backlog
    queue: Depth | None  # None: it did not answer, or nobody has named it.
    gates: Sequence[Gate]
    runs: Sequence[RunFact]  # Begun in the last day, newest first, RUNS_MAX at most.
    worst: Sequence[Trouble]
    expected_ticks: Sequence[int] = ()  # When the schedule wanted one in the last day, ascending.
    next_tick_at: int | None = None

    @property
    def ticks(self) -> Sequence[RunFact]:
        """Return the runs of tick, newest first."""
        return [run for run in self.runs if run.command == "tick"]


class Monitor(Protocol):
    """The tables, as those who look after the worker read them; memory is bounded."""

    async def crowds(self, *, now_ms: int, job_limit_ms: int) -> Sequence[Crowd]:
        """Return all connections, counted; `expiring` looks EXPIRING_MS ahead."""
        ...

    async def crowds_at(self, at_ms: int) -> Sequence[Crowd]:
        """Return the connections that had a stream at `at_ms`, by platform and state, from the log.

        What only the shared tables know (tokens, activity) is not known of the past: it is 0 and
        True. The log is cut at the last row that is not later than `at_ms`.
        """
        ...

    async def backlog(self) -> Backlog:
        """Return what waits for the relay."""
        ...

    async def runs(
        self, *, since_ms: int, until_ms: int | None = None, limit: int
    ) -> Sequence[RunFact]:
        """Return the runs that began since then, and not after `until_ms`, newest first."""
        ...

    async def gates(self) -> Sequence[Gate]:
        """Return the gate of every provider that was ever asked, by name."""
        ...

    async def worst(self, *, limit: int) -> Sequence[Trouble]:
        """Return failed connections: those that failed most often, and then longest ago, first."""
        ...

    async def flows(self, *, since_ms: int, limit: int) -> Sequence[Flow]:
        """Return the moves made since then, counted, of the newest `limit` rows of the log."""
        ...

    async def audits(self, *, since_ms: int) -> Sequence[Audit]:
        """Return of each command that audits the newest run begun since then that has ended."""
        ...
