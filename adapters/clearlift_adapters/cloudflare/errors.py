"""What Cloudflare's API says when it does not do what it was asked, each with what to do next.

Codes: developers.cloudflare.com/api, "Errors" of D1 and Queues, and the answers of the service.
D1's 7500 stands for SQL errors, internal errors and plan limits alike, so the message decides
there.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from clearlift_engine.errors import ConfigurationError, CronWorkerError, UnavailableError


class ApiError(msgspec.Struct, frozen=True):
    """One of the `errors` of an envelope."""

    code: int = 0
    message: str = ""


class StatementError(CronWorkerError):
    """D1 ran the SQL and refused it; nothing of the batch was done."""


class AmbiguousError(UnavailableError):
    """The request may have been carried out, and its answer is lost."""


class Rule(msgspec.Struct, frozen=True):
    """What an answer means if its status, one of its codes or a part of its text is listed here."""

    error: type[CronWorkerError]
    advice: str
    statuses: range | frozenset[int] = frozenset()
    codes: frozenset[int] = frozenset()
    signs: tuple[str, ...] = ()


_SERVER_ERRORS: Final = range(500, 600)

# The first that fits counts.
RULES: Final = (
    Rule(
        ConfigurationError,
        "there is no such database in this account: correct d1://ACCOUNT_ID/DATABASE_ID",
        codes=frozenset({7404}),
    ),
    Rule(
        ConfigurationError,
        "there is no such queue in this account: correct cloudflare://ACCOUNT_ID/QUEUE_ID",
        codes=frozenset({10104}),
    ),
    Rule(
        ConfigurationError,
        "the API token may not use Queues: give it the permission Queues Edit",
        codes=frozenset({10106}),
    ),
    Rule(
        UnavailableError,
        "the plan's limit for Queues is reached: raise it, or wait until it is renewed",
        codes=frozenset({10253}),
    ),
    Rule(
        UnavailableError,
        "the queue's storage is full: let its consumer catch up, then run again",
        codes=frozenset({10251}),
    ),
    Rule(
        ConfigurationError,
        "delivery of the queue is paused: resume it (wrangler queues resume-delivery)",
        codes=frozenset({10252}),
    ),
    Rule(
        ConfigurationError,
        "CLOUDFLARE_API_TOKEN is wrong, expired or revoked: make a new one with the permissions "
        "D1 Edit and Queues Edit",
        statuses=frozenset({401}),
        codes=frozenset({1000, 6003, 9106, 10001}),
    ),
    Rule(
        ConfigurationError,
        "the API token needs the permissions D1 Edit and Queues Edit for this account, or the "
        "account id in the URL is another one's",
        statuses=frozenset({403}),
    ),
    Rule(
        ConfigurationError,
        "correct the account id, or the id after it, in the URL",
        statuses=frozenset({404}),
    ),
    # What D1 documents as passing: developers.cloudflare.com/d1/observability/debug-d1.
    Rule(
        AmbiguousError,
        "safe to run again",
        statuses=_SERVER_ERRORS,
        codes=frozenset({10250}),
        signs=(
            "Network connection lost",
            "storage caused object to be reset",
            "reset because its code was updated",
            "Internal error while starting up D1 DB storage",
            "D1 DB is overloaded",
        ),
    ),
    Rule(
        ConfigurationError,
        "the database is not set up for this version: run `clearlift-cron migrate`",
        signs=("no such table", "no such column"),
    ),
    Rule(
        StatementError,
        "refused",
        signs=("constraint failed", "SQLITE_CONSTRAINT", "append-only", "TOOBIG", "too big"),
    ),
)
_ELSE: Final = Rule(UnavailableError, "safe to run again")


_FINAL: Final = frozenset({10251, 10252, 10253})


def is_final(errors: Sequence[ApiError]) -> bool:
    """Return whether waiting a moment is no help, though the status is 429: it stands for more."""
    return any(error.code in _FINAL for error in errors)


def meaning(status: int, errors: Sequence[ApiError], *, service: str) -> CronWorkerError:
    """Return the error that an unsuccessful answer stands for."""
    codes = {error.code for error in errors}
    text = "; ".join(f"{error.message} ({error.code})" for error in errors) or f"HTTP {status}"
    rule = next(
        (
            rule
            for rule in RULES
            if status in rule.statuses
            or codes & rule.codes
            or any(sign in text for sign in rule.signs)
        ),
        _ELSE,
    )
    return rule.error(f"{service}: {text[:300]}: {rule.advice}")
