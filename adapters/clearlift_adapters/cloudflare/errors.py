"""What Cloudflare's API says when it does not do what it was asked, each with what to do next.

Codes and messages: the lists of D1 (developers.cloudflare.com/d1/observability/debug-d1) and Queues
(…/queues/reference/error-codes), and answers of the service as their receivers quote them. D1's
7500 stands for SQL errors, internal errors and plan limits alike, so the message decides there.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from clearlift_engine.errors import ConfigurationError, CronWorkerError, UnavailableError

Service = Literal["D1", "Queues"]


class ApiError(msgspec.Struct, frozen=True):
    """One of the `errors` of an envelope."""

    code: int = 0
    message: str = ""


class StatementError(CronWorkerError):
    """D1 ran the SQL and refused it; nothing of the batch was done."""


class SizeError(CronWorkerError):
    """Queues refused a batch for its size, or that of a message in it; nothing of it was stored."""


class AmbiguousError(UnavailableError):
    """The request may have been carried out, and its answer is lost."""


class Rule(msgspec.Struct, frozen=True):
    """What an answer means if its status, one of its codes or a part of its text is listed here."""

    error: type[CronWorkerError]
    advice: str
    statuses: range | frozenset[int] = frozenset()
    codes: frozenset[int] = frozenset()
    signs: tuple[str, ...] = ()
    service: Service | None = None  # Only this one's; None: either's.

    def fits(self, status: int, codes: frozenset[int], text: str, service: Service) -> bool:
        """Return whether an answer is one of these."""
        return self.service in (None, service) and (
            status in self.statuses
            or bool(codes & self.codes)
            or any(sign in text for sign in self.signs)
        )


# The first that fits counts.
RULES: Final = (
    Rule(
        ConfigurationError,
        "there is no such database in this account: correct d1://ACCOUNT_ID/DATABASE_ID "
        "(wrangler d1 list)",
        codes=frozenset({7404}),
    ),
    Rule(
        ConfigurationError,
        "there is no such queue in this account: correct cloudflare://ACCOUNT_ID/QUEUE_ID "
        "(wrangler queues list)",
        codes=frozenset({10104, 10107}),
    ),
    Rule(
        ConfigurationError,
        "the URL names an account that is not the token's: correct ACCOUNT_ID in it "
        "(wrangler whoami)",
        codes=frozenset({7403}),
    ),
    Rule(
        ConfigurationError,
        "an id in the URL is malformed, or CLOUDFLARE_API_BASE_URL is wrong: correct it",
        codes=frozenset({7000, 7003}),
    ),
    Rule(
        ConfigurationError,
        "CLOUDFLARE_API_TOKEN is wrong, expired or revoked: make a new one with the permissions "
        "D1 Edit and Queues Edit",
        statuses=frozenset({401}),
        codes=frozenset({1000, 6003, 9106, 9109, 10001}),
    ),
    Rule(
        ConfigurationError,
        "the API token may not use D1 in this account: give it the permission D1 Edit",
        statuses=frozenset({403}),
        service="D1",
    ),
    Rule(
        ConfigurationError,
        "the API token may not use Queues in this account: give it the permission Queues Edit",
        statuses=frozenset({403}),
        codes=frozenset({10106}),
        service="Queues",
    ),
    Rule(
        ConfigurationError,
        "correct the ids in the URL, or CLOUDFLARE_API_BASE_URL",
        statuses=frozenset({404}),
    ),
    Rule(
        UnavailableError,
        "the plan's limit for Queues is reached: raise the plan, or wait until it is renewed",
        codes=frozenset({10253}),
    ),
    Rule(
        UnavailableError,
        "the queue's storage is full: let its consumer catch up, or purge it",
        codes=frozenset({10251}),
    ),
    Rule(
        ConfigurationError,
        "delivery of the queue is paused: resume it (wrangler queues resume-delivery)",
        codes=frozenset({10252}),
    ),
    Rule(
        UnavailableError,
        "the plan's limit for D1 is reached: raise the plan, or wait until midnight UTC",
        signs=("daily row read limit", "daily row write limit"),
    ),
    Rule(
        UnavailableError,
        "there is no room left: delete what is not needed, or raise the plan",
        signs=("Exceeded maximum DB size", "account storage limit", "maximum account storage"),
    ),
    # What passes; all that we ask of D1 may be asked again.
    Rule(
        AmbiguousError,
        "safe to run again",
        statuses=range(500, 600),
        codes=frozenset({7429, 10250}),
        signs=(
            "Network connection lost",
            "caused object to be reset",
            "reset because its code was updated",
            "transient issue on remote node",
            "client disconnected",
            "memory limit and was reset",
            "CPU time limit and was reset",
            "is overloaded",
            "internal error",
        ),
    ),
    Rule(
        ConfigurationError,
        "the database is not set up for this version: run `clearlift-cron migrate`",
        signs=("no such table", "no such column"),
        service="D1",
    ),
    Rule(
        StatementError,
        "refused",
        signs=(
            "constraint failed",
            "SQLITE_CONSTRAINT",
            "append-only",
            "duplicate column",
            "TOOBIG",
            "too big",
        ),
        service="D1",
    ),
    Rule(SizeError, "refused", codes=frozenset({10204, 10205, 10206})),
)
_ELSE: Final = Rule(UnavailableError, "safe to run again; if it stays so, report it")


_FINAL: Final = frozenset({10251, 10252, 10253})


def is_final(errors: Sequence[ApiError]) -> bool:
    """Return whether waiting a moment is no help, though the status is 429: it stands for more."""
    return any(error.code in _FINAL for error in errors)


def meaning(status: int, errors: Sequence[ApiError], *, service: Service) -> CronWorkerError:
    """Return the error that an unsuccessful answer stands for."""
    codes = frozenset(error.code for error in errors)
    text = "; ".join(f"{error.message} ({error.code})" for error in errors) or f"HTTP {status}"
    rule = next((rule for rule in RULES if rule.fits(status, codes, text, service)), _ELSE)
    return rule.error(f"{service}: {text[:300]}: {rule.advice}")
