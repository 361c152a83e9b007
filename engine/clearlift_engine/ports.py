"""What the engine asks of the world. An adapter is done when it passes tests/conformance.

Every `*_ms`, `*_at` and `*_until` is an `int`: milliseconds since 1970, UTC. Methods that reach a
database or a broker raise UnavailableError if it does not answer, and have then changed nothing, or
nothing that the next call does not put right.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from clearlift_engine.events import Level
from clearlift_engine.pacing import Gate, Rate
from clearlift_engine.policy import Candidate, Schedule
from clearlift_engine.stream import Draft, Entry, Stream

NewId = Callable[[], str]  # -> a job id (a UUID) never used before


class Clock(Protocol):
    def now(self) -> int:
        """Return the time of day. It may be set, and may jump."""
        ...

    async def sleep(self, ms: int) -> None:
        """Return after `ms` of real time."""
        ...


class Plan(msgspec.Struct, frozen=True):
    """What is due, as references to hand back to `Store.candidates`; cheap to hold for very many.

    Served in order, so that what is first is what a short budget goes to.
    """

    ready: Sequence[int]  # The token lasts, or there is none.
    expiring: Mapping[str, Sequence[int]]  # By platform: a refresh may have to come first.
    complete: bool = True  # False: there is more than the limit; plan again when these are served.
    future: Sequence[int] = ()  # Not due: last synced in the future. Some of them, to be told of.


class SealedCredentials(Protocol):
    """The encrypted tokens of one connection, on their way to a TokenRefresher; opaque here."""

    @property
    def connection_id(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Say which credentials these are, and nothing of what they are."""
        ...


class SealedTokens(Protocol):
    """New encrypted tokens, on their way from a TokenRefresher to the store; opaque here."""

    @property
    def connection_id(self) -> str: ...

    @property
    def replaced_fingerprint(self) -> str: ...

    def fit(self, stored: SealedCredentials) -> bool:
        """Return whether `stored` is what was sent; they are stored over nothing else."""
        ...

    def are_in(self, stored: SealedCredentials) -> bool:
        """Return whether `stored` holds these very tokens."""
        ...

    @property
    def expires_at(self) -> int | None: ...

    @property
    def refresh_expires_at(self) -> int | None: ...

    @property
    def rotated(self) -> bool:  # The refresh token is another one than before.
        ...


class JobRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `sync_jobs` as we insert it; `metadata` is its JSON."""

    id: str
    organization_id: str
    connection_id: str
    job_type: str
    created_at: str
    metadata: str


class Message(msgspec.Struct, frozen=True):
    """What goes to a queue. `job_id` is the idempotency key, `body` the JSON of SyncJobMessage."""

    job_id: str
    body: bytes


class Commit(msgspec.Struct, frozen=True):
    """What one decision changes, in all tables, about one connection.

    It holds only if the stream is still at `before`. One without drafts is for tokens alone.
    """

    before: Stream
    after: Stream
    drafts: tuple[Draft, ...]
    job: JobRow | None = None  # Insert it; lost if the connection has an open job or is gone.
    open_since: int = 0  # Open: a job whose last sign of life is later than this.
    sync_error: str | None = None  # Set sync_status to 'failed' with this text.
    clears_error: bool = False  # Set sync_status back to 'pending' if 'failed' was our doing.
    tokens: SealedTokens | None = None  # Store them; lost if what they replace is not there.
    outgoing: Message | None = None  # For a queue in the same database.


class Appended(msgspec.Struct, frozen=True):
    """What became of a batch; whatever is in neither field was taken."""

    lost: frozenset[str] = frozenset()  # Another worker moved these streams first.
    refused: Mapping[str, str] = {}  # The database will not have these, and why.
    gate_moved: bool = True  # False: another worker moved the gate first, and nothing was taken.


class Waiting(msgspec.Struct, frozen=True):
    """A job that the queue does not have yet: its stream, at `job_created`, and its message."""

    stream: Stream
    message: Message
    problem: str | None = None  # Why the message cannot be read from the log; it is empty then.


class Store(Protocol):
    """The database, as tick and relay use it."""

    async def due(
        self, *, now_ms: int, schedule: Schedule, limit: int, without: Collection[str] = ()
    ) -> Plan:
        """Return up to `limit` of the connections that are due, without claiming them.

        Each organisation's first comes before any one's second, and then never synced before the
        longest unsynced; `expiring` goes by soonest expiry, less the platforms `without`. Some may
        not be due by `assess`; none that are is left out, but for the limit.
        """
        ...

    async def candidates(self, refs: Sequence[int]) -> Sequence[Candidate]:
        """Return what is known now of `refs`, in their order; those deleted since are left out."""
        ...

    async def find(self, connection_ids: Sequence[str]) -> Sequence[Candidate]:
        """Return what is known now of these connections, in any order, without unknown ones."""
        ...

    async def append(self, commits: Sequence[Commit], gate: Gate | None = None) -> Appended:
        """Make every commit whose stream is where it was seen, in one transaction; skip the others.

        All that a taken commit says changes together, or nothing does. With a `gate`, the gate must
        still be at the version before, or nothing at all is taken. At most one commit per stream.

        Losing a stream is no error: another worker moved it, another's job is open, what the tokens
        replace is not there, or the connection is gone or inactive. A commit that a constraint
        refuses is reported, and the others stand. One that is sent again counts as taken.
        """
        ...

    async def gate(self, provider: str) -> Gate:
        """Return a provider's gate; a new one, at version 0, if nothing was asked of it yet."""
        ...

    async def waiting(self, *, limit: int) -> Sequence[Waiting]:
        """Return the first `limit` jobs that the queue does not have yet, in the log's order."""
        ...


class Survey(Protocol):
    """All connections, due or not, for those who look and do not touch."""

    async def refs(self, *, after: int, limit: int) -> Sequence[int]:
        """Return the next `limit` references above `after`, ascending; 0 comes before the first."""
        ...


class Vault(Protocol):
    """The encrypted tokens that lie in the database."""

    async def credentials(self, connection_ids: Sequence[str]) -> Sequence[SealedCredentials]:
        """Return the stored credentials, in any order; those deleted since are left out."""
        ...

    async def sample(self, limit: int) -> Sequence[SealedCredentials]:
        """Return the credentials of some `limit` active connections that have any."""
        ...


class Rescue(Protocol):
    """Where new tokens go when the database is away: encrypted, on this machine, durable."""

    async def keep(self, tokens: SealedTokens) -> None:
        """Return when the tokens will survive a crash."""
        ...

    async def kept(self) -> Sequence[SealedTokens]:
        """Return what was kept and not dropped, oldest first."""
        ...

    async def drop(self, tokens: SealedTokens) -> None:
        """Forget tokens that are in the database now."""
        ...


class Accepted(msgspec.Struct, frozen=True):
    """The queue has the message, for good."""

    receipt: str | None = None
    already_there: bool = False  # Seen under this id before, and checked to be so.


class Staged(msgspec.Struct, frozen=True):
    """The queue is in the store's own database: the commit that records it also stores it."""

    message: Message


class Rejected(msgspec.Struct, frozen=True):
    """The queue will never take this message; others are not concerned."""

    reason: str


Receipt = Accepted | Staged | Rejected


class Limits(msgspec.Struct, frozen=True):
    """What one call of `publish` may carry."""

    messages: int
    batch_bytes: int


class Depth(msgspec.Struct, frozen=True):
    """What a queue holds; None where it does not say."""

    messages: int
    oldest_at: int | None = None
    dead: int | None = None


class Queue(Protocol):
    """Where the messages go. `level` is its promise about repeats:

    * same_transaction: stored by the transaction that records it, exactly once
    * windowless: an id is stored once, however late it comes again
    * windowed: an id is stored once within the broker's window
    * at_least_once: an id may be stored again; the consumer's claim makes it one effect
    """

    @property
    def name(self) -> str: ...

    @property
    def level(self) -> Level: ...

    @property
    def limits(self) -> Limits: ...

    async def publish(self, messages: Sequence[Message]) -> Sequence[Receipt]:
        """Hand over messages, within `limits`; return what became of each, in their order.

        Raises:
            UnavailableError: it is not known of any of them whether the queue has it. Publish
            again.
        """
        ...

    async def depth(self) -> Depth:
        """Return how much is in the queue, and since when."""
        ...


class Provider(msgspec.Struct, frozen=True):
    """What the engine must know of a platform's tokens."""

    name: str
    rate: Rate | None  # None: its tokens are never refreshed.
    rotates: bool = False  # A refresh may make the old refresh token worthless.
    without_expiry: Literal["lasts", "refresh"] = "lasts"
    problem: str | None = None  # Why it cannot be asked: what is missing in our configuration.


class Refreshed(msgspec.Struct, frozen=True):
    """New tokens, encrypted."""

    tokens: SealedTokens
    latency_ms: int


class Refused(msgspec.Struct, frozen=True):
    """No new tokens, and whose fault that is. `message` and `code` never hold a secret."""

    failure_class: Literal["transient", "throttled", "permanent", "configuration"]
    message: str
    code: str | None = None
    ambiguous: bool = False  # The provider may have acted on the request all the same.
    retry_after_ms: int | None = None
    latency_ms: int = 0
    undecryptable: bool = False  # Not under our keys: this row, or the key itself, is wrong.
    asked: bool = True  # False: the provider was never asked.


class TokenRefresher(Protocol):
    """The providers' token endpoints, and the key that the tokens are encrypted with."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Return what is known of each platform."""
        ...

    async def refresh(self, platform: str, credentials: SealedCredentials) -> Refreshed | Refused:
        """Ask for new tokens, once, and return within the total time limit whatever happens."""
        ...

    def rebase(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        """Return `tokens` to be stored over the same grant encrypted anew; None over any other."""
        ...

    def prepare(self) -> None:
        """Load what the first request needs, so that no request waits for it past its slot."""
        ...

    def opens_any(self, sample: Sequence[SealedCredentials]) -> bool:
        """Return whether one of our keys decrypts any of these fields."""
        ...


class Journal(Protocol):
    """The table `runs`: what was started, and how it ended."""

    async def begin(self, run_id: str, command: str, *, now_ms: int) -> None: ...

    async def finish(
        self, run_id: str, *, now_ms: int, outcome: str, report: bytes, cpu_ms: int | None = None
    ) -> None: ...


class Leases(Protocol):
    """Who may do what only one should; a courtesy, not a lock."""

    async def hold(self, name: str, holder: str, *, now_ms: int, until_ms: int) -> bool:
        """Take or prolong the lease `name`; return False while another's has not run out."""
        ...


class JobState(msgspec.Struct, frozen=True, gc=False):
    """A row of `sync_jobs` as replay reads it."""

    id: str
    organization_id: str
    connection_id: str
    status: str | None
    job_type: str | None
    created_at: str | None
    metadata: str | None


class History(msgspec.Struct, frozen=True):
    """All there is about one connection: its rows of the log, its projection, its jobs."""

    connection_id: str
    entries: Sequence[Entry]  # In the order of their versions.
    projection: Stream | None
    position: int | None  # Of the newest event, as the projection has it.
    jobs: Sequence[JobState]  # All that say they are ours; others' may be left out.
    connection_exists: bool = True  # If not, whoever deleted it had to delete its jobs first.


Fold = Callable[[Sequence[Entry]], Stream]


class Archive(Protocol):
    """The log and what it explains, as replay reads them."""

    def histories(self, connection_ids: Sequence[str] | None = None) -> AsyncGenerator[History]:
        """Yield every connection that the log, the projection or a job knows, by the bytes of its
        id.

        Each is as of one moment, all are of the same where the database can hold one.
        """
        ...

    async def positions(self) -> tuple[int, int]:
        """Return how many rows the log has, and the highest position ever given out."""
        ...

    async def rebuild(self, fold: Fold) -> int:
        """Replace the projection by the fold of each stream; return how many. All or nothing."""
        ...
