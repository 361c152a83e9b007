"""Each answer that says no: whose fault it is, and what to do about it."""

import re
from typing import Final, NamedTuple

import pytest

from clearlift_adapters.cloudflare.errors import (
    RULES,
    AmbiguousError,
    ApiError,
    Service,
    SizeError,
    StatementError,
    meaning,
)
from clearlift_engine.errors import ConfigurationError, CronWorkerError, UnavailableError

NO_EDIT: Final = "give it the permission {} Edit"
WRONG_TOKEN: Final = "CLOUDFLARE_API_TOKEN is wrong"
AGAIN: Final = "safe to run again"


class Shape(NamedTuple):
    """An answer, what it means, and a part of the advice that goes with it."""

    service: Service
    status: int
    code: int
    message: str
    error: type[CronWorkerError]
    advice: str = ""

    @property
    def meaning(self) -> CronWorkerError:
        errors = [ApiError(self.code, self.message)] if self.message else []
        return meaning(self.status, errors, service=self.service)


SHAPES: Final = [
    # Who may, and what there is.
    Shape("D1", 401, 10000, "Authentication error", ConfigurationError, WRONG_TOKEN),
    Shape("D1", 401, 1000, "Invalid API Token", ConfigurationError, WRONG_TOKEN),
    Shape("D1", 400, 6003, "Invalid request headers", ConfigurationError, WRONG_TOKEN),
    Shape("D1", 403, 9109, "Invalid access token", ConfigurationError, WRONG_TOKEN),
    Shape("D1", 400, 10001, "Unable to authenticate request", ConfigurationError, WRONG_TOKEN),
    Shape("D1", 403, 10000, "Authentication error", ConfigurationError, NO_EDIT.format("D1")),
    Shape("Queues", 403, 10106, "Unauthorized", ConfigurationError, NO_EDIT.format("Queues")),
    Shape(
        "Queues", 403, 10000, "Authentication error", ConfigurationError, NO_EDIT.format("Queues")
    ),
    Shape(
        "D1", 403, 7403, "The given account is not valid", ConfigurationError, "correct ACCOUNT_ID"
    ),
    Shape(
        "D1", 404, 7404, "The database x could not be found", ConfigurationError, "d1://ACCOUNT_ID/"
    ),
    Shape(
        "Queues", 404, 10104, "Queue does not exist", ConfigurationError, "cloudflare://ACCOUNT_ID/"
    ),
    Shape("D1", 404, 7003, "Could not route to /client", ConfigurationError, "is malformed"),
    Shape("D1", 404, 0, "", ConfigurationError, "CLOUDFLARE_API_BASE_URL"),
    # Plans.
    Shape("Queues", 429, 10253, "Free tier limit exceeded", UnavailableError, "limit for Queues"),
    Shape(
        "Queues", 429, 10251, "Queue storage limit exceeded", UnavailableError, "storage is full"
    ),
    Shape("Queues", 429, 10252, "Queue disabled", ConfigurationError, "resume-delivery"),
    Shape(
        "D1",
        400,
        7500,
        "Your account has exceeded D1's free tier daily row read limit.",
        UnavailableError,
        "midnight UTC",
    ),
    Shape(
        "D1",
        400,
        7500,
        "Your account has exceeded D1's maximum account storage limit",
        UnavailableError,
        "no room left",
    ),
    Shape("D1", 500, 7500, "Exceeded maximum DB size.", UnavailableError, "no room left"),
    # What passes.
    Shape("D1", 500, 7500, "internal error; reference = e_0", AmbiguousError, AGAIN),
    Shape("D1", 400, 7500, "Network connection lost.", AmbiguousError, AGAIN),
    Shape("D1", 400, 7500, "D1 DB reset because its code was updated.", AmbiguousError, AGAIN),
    Shape(
        "D1",
        400,
        7500,
        "Internal error in D1 DB storage caused object to be reset.",
        AmbiguousError,
        AGAIN,
    ),
    Shape("D1", 503, 7429, "D1 DB is overloaded. Too many requests queued.", AmbiguousError, AGAIN),
    Shape("Queues", 500, 15000, "Unknown error", AmbiguousError, AGAIN),
    Shape("Queues", 503, 10250, "Queue is overloaded", AmbiguousError, AGAIN),
    Shape("D1", 400, 7501, "something new", UnavailableError, AGAIN),
    # What was asked for.
    Shape("D1", 400, 7500, "no such table: outbox: SQLITE_ERROR", ConfigurationError, "migrate"),
    Shape("D1", 400, 7500, "UNIQUE constraint failed: a.x: SQLITE_CONSTRAINT", StatementError),
    Shape("D1", 400, 7500, "outbox is append-only: rows are never changed", StatementError),
    Shape("D1", 400, 7500, "string or blob too big: SQLITE_TOOBIG", StatementError),
    Shape("Queues", 400, 10204, "Message size out of bounds", SizeError),
    Shape("Queues", 400, 10205, "Batch size out of bounds", SizeError),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.code} {shape.message}")
def test_answer_means(shape: Shape) -> None:
    found = shape.meaning

    assert type(found) is shape.error
    assert str(found).startswith(f"{shape.service}: {shape.message or f'HTTP {shape.status}'}")
    assert shape.advice in str(found)


def test_every_rule_is_met_by_some_answer_and_advises_like_no_other() -> None:
    said = [str(shape.meaning) for shape in SHAPES]

    for rule in RULES:
        assert any(text.endswith(rule.advice) for text in said), rule.advice
    advices = [rule.advice for rule in RULES if rule.advice != "refused"]
    assert len(set(advices)) == len(advices)


def test_long_answer_is_cut_and_its_advice_is_not() -> None:
    found = str(meaning(500, [ApiError(7500, "x" * 10_000)], service="D1"))

    assert len(found) < 500
    assert re.search(r"x: safe to run again$", found)
