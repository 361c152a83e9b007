"""What one run of tick has done so far, and how it ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from clearlift_engine.decisions import Decision
from clearlift_engine.events import FailureClass
from clearlift_engine.policy import Candidate, Due, Schedule
from clearlift_engine.ports import (
    Appended,
    Clock,
    NewId,
    Queue,
    Rescue,
    Store,
    TokenRefresher,
    Vault,
)

FAILURES_MAX: Final = 1_000  # In the report; the count is always whole.
_SYNC_STATUSES: Final = (None, "pending", "syncing", "completed", "failed")


class TickPorts(NamedTuple):
    """Everything a tick asks of the world."""

    store: Store
    vault: Vault
    refresher: TokenRefresher
    rescue: Rescue
    clock: Clock
    new_id: NewId
    queue: Queue | None = None  # In the store's own database: what is created is delivered too.


class TickSettings(msgspec.Struct, frozen=True):
    """What an operator may set."""

    schedule: Schedule = Schedule()
    batch: int = 500  # Connections a transaction.
    limit: int | None = None  # Connections a tick.
    # Where each question to the database is a request, and requests are counted:
    gather_ms: int = 0  # how long answers gather before a commit,
    claims_max: int = 0  # and how many refreshes may be claimed at a time, if all goes well.


class Failure(msgspec.Struct, frozen=True):
    """A connection that this run left as failed."""

    connection_id: str
    failure_class: FailureClass = msgspec.field(name="class")
    message: str


class Note(Protocol):
    """How the engine says something to whoever runs it; it keeps no log itself."""

    def __call__(
        self, level: Literal["debug", "info", "warning", "error"], event: str, **fields: object
    ) -> None: ...


class Run:
    """One run of tick: what it was given, and what has come of it."""

    def __init__(
        self,
        ports: TickPorts,
        settings: TickSettings,
        *,
        run_id: str,
        now_ms: int,
        should_stop: Callable[[], bool],
        note: Note,
    ) -> None:
        self.ports, self.settings = ports, settings
        self.providers = ports.refresher.providers
        self.run_id, self.now_ms = run_id, now_ms
        self.should_stop, self.note = should_stop, note
        self.due = self.refreshed = self.jobs_created = self.failed = self.deferred = 0
        self.delivered = 0
        self.failures: list[Failure] = []
        self.problems: list[str] = []
        self.deferrals = Counter[str]()  # By reason.
        self.halted: dict[str, str] = {}  # Platforms that take no more requests this run, and why.
        self.asking = 0  # Claims whose outcome is not durable yet.
        self.key_fits = False  # Some stored token was decrypted.

    @property
    def progress(self) -> int:
        """Return how many connections are no longer due because of this run."""
        return self.jobs_created + self.failed

    def found(self, conn: Candidate, due: Due) -> None:
        """Count a connection that is due; say what is given up for it."""
        self.due += 1
        if due.superseded_job_id is not None:
            self.note(
                "warning",
                "a job ran longer than the job time limit and is superseded",
                connection_id=conn.connection_id,
                job_id=due.superseded_job_id,
            )

    def warn_of_oddities(self, conn: Candidate) -> None:
        """Say what is odd about a row, and what it is taken for."""
        odd = {
            "last_synced_at is not a time; it counts as never synced": conn.last_synced_odd,
            "last_synced_at is in the future; it is not due until then": (
                conn.last_synced_at is not None and conn.last_synced_at > self.now_ms
            ),
            "expires_at is not a time; it counts as expired": conn.expires_odd,
            "scopes is not JSON; it is left alone": conn.scopes_odd,
            "sync_status is unknown; it counts as pending": conn.sync_status not in _SYNC_STATUSES,
        }
        for text, is_so in odd.items():
            if is_so:
                self.note("warning", text, connection_id=conn.connection_id)

    def settle(self, decisions: Iterable[Decision], appended: Appended) -> None:
        """Count what was taken; say what was lost."""
        if not appended.gate_moved:
            return
        for decision in decisions:
            connection_id = decision.commit.after.connection_id
            if connection_id in appended.lost:
                self.due -= decision.outcome != "refreshed" and bool(decision.commit.drafts)
                self.note("info", "another worker took it", connection_id=connection_id)
            elif connection_id not in appended.refused:
                self._count(connection_id, decision)

    def _count(self, connection_id: str, decision: Decision) -> None:
        job = {"connection_id": connection_id, "job_id": decision.commit.after.job_id}
        match decision.outcome:
            case "refreshed":
                self.refreshed += 1
                self.jobs_created += 1
                self.note("debug", "job created", **job)
            case "job":
                self.jobs_created += 1
                self.note("debug", "job created", **job)
                if decision.commit.outgoing is not None:
                    self.delivered += 1
                    self.note("debug", "job delivered", **job)
            case "deferred":
                self.deferred += 1
                self.deferrals[decision.message.partition(":")[0]] += 1
                self.note("info", "deferred", connection_id=connection_id, why=decision.message)
            case "failed":
                assert decision.failure_class is not None
                self.fail(connection_id, decision.failure_class, decision.message)
            case "claimed":
                pass

    def fail(self, connection_id: str, failure_class: FailureClass, message: str) -> None:
        """Count a connection that ended as failed."""
        self.failed += 1
        if len(self.failures) < FAILURES_MAX:
            # To whoever reads the report there are five classes: what a row says is permanent.
            shown = "permanent" if failure_class == "invalid" else failure_class
            self.failures.append(Failure(connection_id, shown, message))
        fields = {"connection_id": connection_id, "class": failure_class, "why": message}
        self.note("warning", "connection failed", **fields)

    def problem(self, text: str) -> None:
        """Remember what somebody has to put right in the configuration; each once."""
        if text not in self.problems:
            self.problems.append(text)
            self.note("error", "configuration", why=text)


class TickReport(msgspec.Struct, frozen=True):
    """What `tick --json` prints."""

    run_id: str
    started_at: str
    duration_ms: int
    due: int
    refreshed: int
    jobs_created: int
    failed: int
    deferred: int
    delivered: int
    failures: Sequence[Failure]


class TickOutcome(NamedTuple):
    """The report, and what has to be put right in the configuration before all can be served."""

    report: TickReport
    problems: Sequence[str]
    deferrals: Mapping[str, int] = {}  # How many were deferred, by reason.
