"""What one history is made of: sizes, rates and faults, all drawn from its seed.

How large a history is says its scope. Each fault is absent from many histories, so that no fault
hides what another one would show.
"""

from typing import Final, Literal

import msgspec

from clearlift_engine.events import Level
from tests.simulation.dice import Dice
from tests.simulation.scope import MINUTE_MS, SCOPES

SKEW_BORNE_MS: Final = 10_000  # A lease is much longer than that.

SOON_MS: Final = 90_000  # As long as a lease and a little more.

Ticks = tuple[tuple[int, ...], ...]
Reuse = Literal["refuse", "revoke", "grace"]  # What a provider makes of a spent refresh token.
LEVELS: Final[tuple[Level, ...]] = ("same_transaction", "windowless", "windowed", "at_least_once")
REUSES: Final[tuple[Reuse, ...]] = ("refuse", "revoke", "grace")


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one history; chances are per port call, per request or per job."""

    connections: int
    platforms: tuple[str, ...]  # Of which each connection has one.
    chaos_ms: int
    ticks: Ticks  # When each machine ticks, from the beginning.
    by_hand: tuple[int, ...]  # When somebody ticks besides.
    relays: float  # Chance of a machine to relay once besides.
    interval_ms: int
    job_limit_ms: int
    margin_ms: int
    batch: int
    relay_batch: int
    gather_ms: int

    kill: float  # Per side of a port call.
    freeze: float
    freezes_ms: tuple[int, ...]  # For how long, each time one of these.
    away: float  # The database or the queue does not answer, or its answer is lost.
    stop: float  # SIGTERM.
    slow: float
    outages: tuple[tuple[int, int], ...]  # Of the database: from, to.

    skew_ms: int  # At most so far is a machine's clock from the truth.
    jumps: bool

    level: Level
    queue_parts: float  # Chance that the queue takes only the first few, and says nothing.
    rejects: float

    reuse: Reuse
    lifetime_ms: int
    first_lifetime_ms: int  # At most, of what users bring; some have expired long ago.
    latency_ms: int
    google_ms: int  # One request in so long.
    facebook: tuple[int, int]  # So many requests in so long.
    provider_faults: float
    blackouts: tuple[tuple[int, int], ...]  # Of all providers.

    consumer_dies: float
    consumer_fails: float
    consumer_ms: int
    users: tuple[int, ...]  # When there are reconnections, deletions and the like.
    operators: tuple[int, ...]  # How many of them there may be.
    rest_ms: int  # Before the healthy core begins: after an hour it has all to do in one tick.
    all_at_work: bool  # Whether each machine ticks in it at first.

    @property
    def wild(self) -> bool:
        """Return whether clocks are so wrong that leases end early."""
        return self.skew_ms > SKEW_BORNE_MS


def drawn(random: Dice, start_ms: int) -> Mix:
    """Return the mix of one history that begins at `start_ms`."""
    scope = random.choice(SCOPES)
    tick_ms = random.choice(scope.ticks_ms)
    chaos_ms = random.choice(scope.ticks) * tick_ms
    skewed = random.random() < 1 / 4
    ticks = cron(random, random.choice(scope.machines), tick_ms, chaos_ms)
    lifetime_ms = random.choice(scope.lifetimes_ms)
    return Mix(
        connections=random.choice(scope.connections),
        platforms=random.choice(scope.platforms),
        chaos_ms=chaos_ms,
        ticks=ticks,
        by_hand=tuple(busy(random, ticks, chaos_ms) for _ in range(random.choice(scope.by_hand))),
        relays=scope.relays,
        interval_ms=random.choice(scope.intervals_ms),
        job_limit_ms=random.choice((45, 60)) * MINUTE_MS,
        margin_ms=random.choice((5, 5, 20)) * MINUTE_MS,
        batch=random.choice((1, 2, 500)),
        relay_batch=random.choice((1, 3, 100)),
        gather_ms=random.choice((0, 0, 50)),
        kill=random.choice(scope.kill),
        freeze=random.choice(scope.freeze),
        freezes_ms=scope.freezes_ms,
        away=random.choice(scope.away),
        stop=random.choice((0, 0, 0, 0.005)),
        slow=random.choice(scope.slow),
        outages=windows(random, scope.outages, start_ms, ticks, 2 * MINUTE_MS),
        skew_ms=random.choice((2_000, 90_000, 15 * MINUTE_MS)) if skewed else 0,
        jumps=skewed and random.random() < 1 / 2,
        level=random.choice(LEVELS),
        queue_parts=random.choice((0, 0, 0.1)),
        rejects=random.choice((0, 0, 0, 0.1)),
        reuse=random.choice(REUSES),
        lifetime_ms=lifetime_ms,
        first_lifetime_ms=round(lifetime_ms * scope.first_lifetime),
        latency_ms=random.choice((20, 200, 2_000)),
        google_ms=random.choice((100, 3_000)),
        facebook=(random.choice((1, 2)), random.choice((10, 20)) * MINUTE_MS),
        provider_faults=random.choice(scope.provider_faults),
        blackouts=windows(random, scope.outages, start_ms, ticks, 20 * MINUTE_MS),
        consumer_dies=random.choice((0, 0, 0.1)),
        consumer_fails=random.choice((0, 0.1)),
        consumer_ms=random.choice((1_000, MINUTE_MS, 15 * MINUTE_MS)),
        users=tuple(busy(random, ticks, chaos_ms) for _ in range(random.choice(scope.users))),
        operators=scope.operators,
        rest_ms=random.choice(scope.rests_ms),
        all_at_work=random.choice(scope.all_at_work),
    )


def cron(random: Dice, machines: int, tick_ms: int, chaos_ms: int) -> Ticks:
    """Return when each machine ticks: all at the same moments, as real ones do, or not."""
    first = random.randint(1, tick_ms - 1)
    apart_ms = random.choice((0, 0, SOON_MS, tick_ms))
    firsts = [min(first + random.randint(0, apart_ms), tick_ms - 1) for _ in range(machines)]
    return tuple(tuple(range(begin, chaos_ms, tick_ms)) for begin in firsts)


def busy(random: Dice, ticks: Ticks, chaos_ms: int) -> int:
    """Return a moment at which there is something to disturb: soon after a tick, mostly."""
    after_ms = random.choice((2_000, 20_000, SOON_MS, 20 * MINUTE_MS))
    return min(random.choice(random.choice(ticks)) + random.randint(0, after_ms), chaos_ms - 1)


def windows(
    random: Dice, many: tuple[int, ...], start_ms: int, ticks: Ticks, longest_ms: int
) -> tuple[tuple[int, int], ...]:
    """Return no window of time, mostly, or some that begin with requests under way."""
    found: list[tuple[int, int]] = []
    for _ in range(random.choice(many)):
        begin = start_ms + random.choice(random.choice(ticks)) + random.randint(0, 2_000)
        found.append((begin, begin + random.randint(1_000, longest_ms)))
    return tuple(found)


def within(spans: tuple[tuple[int, int], ...], now_ms: int) -> bool:
    """Return whether a moment lies in one of the windows."""
    return any(begin <= now_ms < end for begin, end in spans)
