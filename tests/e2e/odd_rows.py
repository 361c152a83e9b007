"""Every kind of row that must not stop a tick, and what becomes of each.

Where nothing else is said the platform is google, the token lasts, and the last sync was two hours
ago. Some columns hold what only a program in another language would have written.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from clearlift_adapters.cipher import FieldCipher
from clearlift_engine.policy import DAY_MS, MINUTE_MS, iso
from tests.e2e.program import CIPHER, connect
from tests.given import NOW_MS, ODD_IDS, ago, plain
from tests.seed import Seed, Value

MEGABYTES: Final = 2 * 1024 * 1024
OTHERS_KEY: Final = FieldCipher("//////////////////////////////////////////8=")
TWO_HOURS_AGO: Final = plain(ago(hours=2))
SOON: Final = iso(NOW_MS + MINUTE_MS)

Fate = Literal["job", "refreshed", "failed", "not due"]


class OddRow(NamedTuple):
    """One row, what becomes of it, and what the log says of it, if anything."""

    id: str
    columns: Mapping[str, Value]
    fate: Fate
    says: str | None = None


def odd(name: str, fate: Fate, says: str | None = None, **columns: Value) -> OddRow:
    return OddRow(name, columns, fate, says)


_NO_TIME: Final = "last_synced_at is not a time"
_NO_EXPIRY: Final = "expires_at is not a time"

# fmt: off
STATUSES: Final = (
    odd("status null",      "job", sync_status=None),
    odd("status empty",     "job", "sync_status is unknown", sync_status=""),
    odd("status unknown",   "job", "sync_status is unknown", sync_status="PAUSED?"),
    odd("status failed",    "job", sync_status="failed", sync_error="the consumer's own"),
    odd("syncing for days", "job", sync_status="syncing", last_synced_at=plain(ago(days=9))),
    odd("inactive",         "not due", is_active=0),
    odd("active null",      "not due", is_active=None),
)
TIMES: Final = (
    odd("synced empty",     "job", _NO_TIME, last_synced_at=""),
    odd("synced a word",    "job", _NO_TIME, last_synced_at="yesterday"),
    odd("synced now",       "job", _NO_TIME, last_synced_at="now"),
    odd("synced a number",  "job", _NO_TIME, last_synced_at=1791626400),
    odd("synced a real",    "job", _NO_TIME, last_synced_at=2461323.9),
    odd("synced bytes",     "job", _NO_TIME, last_synced_at=b"\xff\x00"),
    odd("synced no day",    "job", _NO_TIME, last_synced_at="2026-13-45 99:99:99"),
    odd("synced with zone", "job", last_synced_at="2026-10-10T09:00:00+02:00"),
    odd("synced to a day",  "job", last_synced_at="2026-10-09"),
    odd("synced in micros", "job", last_synced_at="2026-10-10T09:00:00.123456Z"),
    odd("synced later",     "not due", "last_synced_at is in the future",
        last_synced_at="2027-01-01T00:00:00.000Z"),
    odd("expiry empty",     "refreshed", _NO_EXPIRY, expires_at=""),
    odd("expiry a word",    "refreshed", _NO_EXPIRY, expires_at="soon"),
    odd("expiry zero",      "refreshed", _NO_EXPIRY, expires_at=0),
    odd("expiry long ago",  "refreshed", expires_at="1970-01-01 00:00:00"),
    odd("expiry far away",  "job", expires_at="9999-12-31T23:59:59.999Z"),
    odd("stripe expired",   "job", platform="stripe", expires_at="2020-01-01 00:00:00"),
    odd("stripe with word", "job", _NO_EXPIRY, platform="stripe", expires_at="never"),
)
PLATFORMS: Final = (
    odd("linkedin lasting", "job", platform="linkedin"),
    odd("linkedin expired", "failed", "no provider is declared", platform="linkedin",
        expires_at=SOON),
    odd("platform empty",   "job", platform=""),
    odd("platform odd",     "job", platform="Google '; --\n"),
)
CREDENTIALS: Final = (
    odd("none, lasting",    "job", credentials_encrypted=None, refresh_token_encrypted=None),
    odd("none, expired",    "failed", "no refresh token", expires_at=SOON,
        credentials_encrypted=None, refresh_token_encrypted=None),
    odd("empty, expired",   "failed", "no refresh token", expires_at=SOON,
        refresh_token_encrypted=""),
    odd("facebook none",    "failed", "no access token", expires_at=SOON, platform="facebook",
        credentials_encrypted=None),
    odd("plain text",       "failed", "malformed", expires_at=SOON,
        refresh_token_encrypted="1//0g-a-token-in-the-clear"),
    odd("short of a part",  "failed", "malformed", expires_at=SOON,
        refresh_token_encrypted="AAAAAAAAAAAAAAAA:AAAA"),
    odd("bytes",            "failed", "malformed", expires_at=SOON,
        refresh_token_encrypted=b"\x00\xff\xfe"),
    odd("another key's",    "failed", "none of our keys", expires_at=SOON,
        refresh_token_encrypted=OTHERS_KEY.seal("rt")),
    odd("nothing inside",   "failed", "no refresh token", expires_at=SOON,
        refresh_token_encrypted=CIPHER.seal("")),
    odd("2 MB sealed",      "failed", "malformed", expires_at=SOON,
        refresh_token_encrypted=CIPHER.seal("x" * MEGABYTES)),
    odd("32 KB sealed",     "failed", "too long", expires_at=SOON,
        refresh_token_encrypted=CIPHER.seal("x" * 32 * 1024)),
)
TEXTS: Final = (
    odd("scopes a word",    "job", "scopes is not JSON", scopes="ads_read, ads_write"),
    odd("scopes empty",     "job", "scopes is not JSON", scopes=""),
    odd("scopes cut off",   "job", "scopes is not JSON", scopes='["ads_read"'),
    odd("scopes 2 MB",      "job", scopes='["' + "x" * MEGABYTES + '"]'),
    odd("name 2 MB",        "job", account_name="名" * MEGABYTES),
    odd("error 2 MB",       "job", sync_status="failed", sync_error="x" * MEGABYTES),
    odd("connected oddly",  "job", connected_at="x" * MEGABYTES),
    odd("account 2 MB",     "failed", "too long for a queue message", account_id="9" * MEGABYTES),
    odd("name not unicode", "job", account_name=b"\xff\xfe\x00"),
    odd("no organization",  "failed", "the database refuses it", organization_id="nobody"),
    *(odd(odd_id,           "job") for odd_id in ODD_IDS),
    *(odd(f"{odd_id}, 2",   "refreshed", expires_at=SOON) for odd_id in ODD_IDS),
)
# fmt: on


class Job(NamedTuple):
    """A row of `sync_jobs` that some other program wrote."""

    columns: Mapping[str, Value]
    fate: Fate
    says: str | None = None


_GIVEN_UP: Final = "superseded"
_OLD: Final = plain(NOW_MS - 5 * DAY_MS)
JOBS: Final[Mapping[str, Job]] = {
    "job open": Job({"created_at": plain(ago(hours=3))}, "not due"),
    "job running": Job({"status": "running", "created_at": _OLD, "started_at": SOON}, "not due"),
    "job stuck": Job({"status": "running", "created_at": _OLD}, "job", _GIVEN_UP),
    "job undated": Job({"created_at": "yesterday"}, "job", _GIVEN_UP),
    "job without status": Job({"status": None}, "job"),
    "job with a word": Job({"status": "on hold"}, "job"),
    "job without JSON": Job({"status": "completed", "metadata": "none"}, "job"),
    "job of 2 MB": Job({"status": "failed", "error_message": "x" * MEGABYTES}, "job"),
}
HEALTHY: Final = 5

ROWS: Final[Sequence[OddRow]] = (
    *STATUSES,
    *TIMES,
    *PLATFORMS,
    *CREDENTIALS,
    *TEXTS,
    *(odd(name, job.fate, job.says) for name, job in JOBS.items()),
    *(odd(f"healthy {number}", "job") for number in range(HEALTHY)),
    *(odd(f"expiring {number}", "refreshed", expires_at=SOON) for number in range(HEALTHY)),
)


def seed(tables: Seed) -> None:
    """Put all of them into the database."""
    for row in ROWS:
        connect(tables, row.id, **{"last_synced_at": TWO_HOURS_AGO, **row.columns})
    tables.remove_organization("nobody")
    for name, job in JOBS.items():
        tables.add_job(f"others' {name}", name, **job.columns)
