"""How large a history is, and how much happens to it: what `mix` draws its numbers from.

Most histories are small: nearly every bug that can happen at all can happen to one or two
connections within a tick or two, and half a dozen small histories are played in the time of a large
one. Three kinds of small ones look for different things: machines that get into each other's way at
one tick, one machine that meets again what it left, and one that wakes up an hour later, when the
other is at work. The large ones are for what needs many.
"""

from typing import Final, NamedTuple

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
ALL: Final = ("google", "tiktok", "tiktok", "tiktok", "facebook", "stripe")
FREEZES_MS: Final = (5_000, 70_000, 70_000, 10 * MINUTE_MS, 40 * MINUTE_MS)
NIGHT_MS: Final = 70 * MINUTE_MS  # Longer than any lease may be.


class Scope(NamedTuple):
    """Of each field, a history has one of the values given."""

    ticks_ms: tuple[int, ...]  # From one tick to the next.
    ticks: tuple[int, ...]  # Of each machine.
    machines: tuple[int, ...]
    by_hand: tuple[int, ...]  # Ticks besides.
    relays: float  # Chance of a machine to relay once besides.
    connections: tuple[int, ...]
    platforms: tuple[tuple[str, ...], ...]
    intervals_ms: tuple[int, ...]
    lifetimes_ms: tuple[int, ...]  # Of tokens.
    first_lifetime: float  # Of the first ones, at most: a part of the others' lifetime.
    users: tuple[int, ...]  # How often one of them acts.
    operators: tuple[int, ...]
    kill: tuple[float, ...]
    freeze: tuple[float, ...]
    freezes_ms: tuple[int, ...]
    away: tuple[float, ...]
    slow: tuple[float, ...]
    outages: tuple[int, ...]
    provider_faults: tuple[float, ...]
    rests_ms: tuple[int, ...]  # After an hour of rest, one tick of the healthy core settles all.
    all_at_work: tuple[bool, ...]


LARGE: Final = Scope(
    ticks_ms=(5 * MINUTE_MS, 15 * MINUTE_MS, 15 * MINUTE_MS),
    ticks=(3, 4, 5),
    machines=(2, 2, 2, 3),
    by_hand=(0, 0, 1, 4),
    relays=1 / 4,
    connections=(3, 3, 4, 5, 6, 8),
    platforms=(ALL,),
    intervals_ms=(10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS),
    lifetimes_ms=(10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS),
    first_lifetime=2,
    users=(0, 2, 6),
    operators=(0, 0, 2, 8),
    kill=(0, 0, 0.002, 0.01, 0.03),
    freeze=(0, 0, 0.002, 0.01, 0.02),
    freezes_ms=FREEZES_MS,
    away=(0, 0, 0.003, 0.02),
    slow=(0, 0.1),
    outages=(0, 0, 1, 3),
    provider_faults=(0, 0, 0.1, 0.4),
    rests_ms=(0,),
    all_at_work=(True,),
)
RACE: Final = Scope(
    ticks_ms=(5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS),
    ticks=(1,),
    machines=(2,),
    by_hand=(0, 0, 0, 1),
    relays=1 / 8,
    connections=(1, 1, 1, 1, 2, 3),
    platforms=(("tiktok",), ("tiktok",), ("google",), ("facebook",), ("stripe",), ALL),
    intervals_ms=(10 * MINUTE_MS,),
    lifetimes_ms=(10 * MINUTE_MS, 30 * MINUTE_MS),
    first_lifetime=1,
    users=(0, 0, 1, 2),
    operators=(0, 0, 0, 0, 2),
    kill=(0, 0, 0.01, 0.05),
    freeze=(0, 0, 0.03, 0.06),
    freezes_ms=FREEZES_MS,
    away=(0, 0, 0.02, 0.1),
    slow=(0, 0.1, 0.3),
    outages=(0, 0, 0, 1),
    provider_faults=(0, 0, 0.2, 0.5),
    rests_ms=(0, *[HOUR_MS] * 5),
    all_at_work=(True, *[False] * 5),
)
AGAIN: Final = RACE._replace(
    ticks_ms=(5 * MINUTE_MS,),
    ticks=(2, 2, 3),
    machines=(1,),
    lifetimes_ms=(10 * MINUTE_MS,),
    provider_faults=(0, 0.3, 0.6),
    outages=(0, 0, 1, 2),
)
LATE: Final = RACE._replace(
    ticks_ms=(NIGHT_MS,),
    ticks=(2,),
    by_hand=(0,),
    kill=(0, 0.02),
    freeze=(0.05, 0.1),
    freezes_ms=(70_000, NIGHT_MS, NIGHT_MS),
)
SCOPES: Final = (LARGE, *[RACE] * 18, *[AGAIN] * 17, *[LATE] * 4)
