"""Who is in the demo, in what condition, and what happens during the day: data, and nothing else.

Minutes count from the day's beginning: negative ones are before it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

HOURS: Final = 24
TICK_MINUTES: Final = 15
SEED: Final = 20_261_010  # The same day each time, but for ids, keys and tokens.

DAY: Final = HOURS * 60
_NEXT_MONTH: Final = (3 * DAY, 50 * DAY)
_HOURLY: Final = (-90, -5)  # When it was last synced.

Minutes = tuple[int, int]  # Anywhere between.
Value = str | int | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Connections that are in one condition when the day begins."""

    name: str
    says: str
    platform: str
    count: int = 0  # So many, however large the demo is …
    share: int = 0  # … or this share of all the others.
    synced: Minutes | str | None = _HOURLY  # A text stands in the column as it is.
    expires: Minutes | str | None = None
    tokens: Literal["good", "cut", "foreign", "no_refresh"] = "good"
    interval_s: int | None = None
    job_age: int | None = None  # Of a job that another program started, minutes.
    account: str | None = None  # In the place of a number.
    columns: Mapping[str, Value] = {}  # What else is special about the row.
    served: bool = True  # By the end of the day it must have been served lately.


# fmt: off
CAST: Final[Sequence[Part]] = (
    # The many that are well.
    Part(name="google", platform="google", share=20, expires=(-60, 60),
         says="token for an hour: renewed before every job"),
    Part(name="google_new", platform="google", share=2, synced=None, expires=(20, 59),
         says="never synced before"),
    Part(name="facebook", platform="facebook", share=14, expires=_NEXT_MONTH,
         says="60-day token"),
    Part(name="facebook_ending", platform="facebook", share=10, expires=(0, DAY),
         says="60-day token that ends today: exchanged"),
    Part(name="tiktok", platform="tiktok", share=14, expires=(-60, 480),
         says="refresh token that rotates"),
    Part(name="tiktok_lasting", platform="tiktok", share=8,
         says="Marketing API token without an expiry: never refreshed"),
    Part(name="stripe", platform="stripe", share=22,
         says="API key"),
    Part(name="stripe_expiry", platform="stripe", share=6, expires=(-DAY, 0),
         says="API key with an expiry: never refreshed all the same"),

    # Those with a rhythm of their own.
    Part(name="ten_minutes", platform="stripe", count=3, interval_s=600,
         says="interval of its own: 10 minutes"),
    Part(name="six_hours", platform="facebook", count=2, interval_s=6 * 3600, expires=_NEXT_MONTH,
         says="interval of its own: 6 hours"),

    # Those whose grant ends today, see below.
    Part(name="example", platform="google", count=1, synced=(-600, -600), expires=(-540, -540),
         interval_s=6 * 3600,
         says="consent withdrawn, given again (its life is below)"),
    Part(name="revoked", platform="google", count=2, expires=(-60, 60),
         says="consent withdrawn, given again"),
    Part(name="revoked", platform="facebook", count=2, expires=(330, 420),
         says="consent withdrawn, given again"),
    Part(name="revoked", platform="tiktok", count=2, expires=(330, 420),
         says="consent withdrawn, given again"),
    Part(name="left", platform="google", count=2, expires=(-60, 60), served=False,
         says="consent withdrawn for good"),
    Part(name="lost_answer", platform="tiktok", count=1, expires=(250, 260),
         says="answer with a rotated token lost, reconnected"),
    Part(name="throttled", platform="facebook", count=4, expires=(118, 140),
         says="60-day token that ends while Facebook throttles"),

    # Broken tokens.
    Part(name="cut", platform="google", count=1, expires=(-60, 60), tokens="cut", served=False,
         says="stored token damaged"),
    Part(name="foreign", platform="tiktok", count=1, expires=(-60, 60), tokens="foreign",
         served=False,
         says="stored token encrypted with a key that nobody has"),
    Part(name="no_refresh", platform="google", count=1, expires=(-60, 60), tokens="no_refresh",
         served=False,
         says="no refresh token stored"),

    # Odd rows.
    Part(name="scopes", platform="google", count=2, expires=(-60, 60),
         columns={"scopes": "ads.read, offline"},
         says="scopes are not JSON"),
    Part(name="odd_synced", platform="stripe", count=1, synced="yesterday evening",
         says="last_synced_at is not a time"),
    Part(name="empty_synced", platform="facebook", count=1, synced="", expires=_NEXT_MONTH,
         says="last_synced_at is empty"),
    Part(name="future", platform="stripe", count=1, synced=(2 * DAY, 3 * DAY), served=False,
         says="last_synced_at is in the future"),
    Part(name="odd_expiry", platform="google", count=1, expires="soon",
         says="expires_at is not a time"),
    Part(name="no_status", platform="stripe", count=1, columns={"sync_status": None},
         says="sync_status is NULL"),
    Part(name="odd_status", platform="stripe", count=1, columns={"sync_status": "paused?"},
         says="sync_status is a word nobody knows"),
    Part(name="odd_id", platform="facebook", count=1, expires=_NEXT_MONTH,
         account="O'Hara & Söhne 日本 100%",
         says="an id with quotes, spaces and other letters"),

    # Not to be served, or not at first.
    Part(name="stuck", platform="stripe", count=2, synced=(-6 * DAY, -6 * DAY),
         job_age=5 * DAY, columns={"sync_status": "syncing"},
         says="'syncing' for five days: taken again"),
    Part(name="busy", platform="stripe", count=1, job_age=90,
         columns={"sync_status": "syncing"}, served=False,
         says="another program's job is still running"),
    Part(name="inactive", platform="facebook", count=3, columns={"is_active": 0}, served=False,
         says="not active"),
    Part(name="leaving", platform="tiktok", count=2, served=False,
         says="deactivated by its user during the day"),
    Part(name="unknown", platform="pinterest", count=1,
         says="platform that nobody declared, no expiry: served"),
    Part(name="unknown_expired", platform="linkedin", count=1, expires=(-60, 0), served=False,
         says="platform that nobody declared, token expired"),
)
# fmt: on

# Those that connect during the day.
NEWCOMERS: Final = Part(
    name="newcomer",
    platform="facebook",
    count=5,
    synced=None,
    expires=_NEXT_MONTH,
    says="connected during the day",
)

Happening = Literal[
    "facebook_throttles",
    "tiktok_answer_lost",
    "consent_withdrawn",
    "google_down",
    "google_up",
    "reconnected",
    "consumer_dies",
    "consumer_back",
    "newcomers",
    "deactivated",
]


class Incident(msgspec.Struct, frozen=True):
    """Something that happens, just before the tick at that minute."""

    minute: int
    happening: Happening
    says: str


THROTTLED_MINUTES: Final = 40

INCIDENTS: Final[Sequence[Incident]] = (
    Incident(120, "facebook_throttles", "Facebook wants no more requests for a while"),
    Incident(240, "tiktok_answer_lost", "TikTok's answer with a rotated token gets lost"),
    Incident(300, "consent_withdrawn", "some users withdraw their consent"),
    Incident(420, "google_down", "Google's token endpoint goes down"),
    Incident(570, "google_up", "Google's token endpoint is back"),
    Incident(660, "reconnected", "most of them connect again"),
    Incident(780, "consumer_dies", "the queue consumer dies in the middle of its work"),
    Incident(960, "consumer_back", "the queue consumer is back"),
    Incident(1080, "newcomers", "new users connect"),
    Incident(1140, "deactivated", "some users switch their connection off"),
)


def sizes(connections: int) -> Sequence[int]:
    """Return how many connections each part of the cast has, if there are so many in all."""
    rest = connections - ODD_ONES
    shares = sum(part.share for part in CAST)
    counts, given, seen = list[int](), 0, 0
    for part in CAST:
        seen += part.share
        until = rest * seen // shares  # Rounded on the sum, so that the counts add up.
        counts.append(part.count + until - given)
        given = until
    return counts


ODD_ONES: Final = sum(part.count for part in CAST)
FEWEST: Final = ODD_ONES + sum(part.share for part in CAST)  # Every part has somebody.
