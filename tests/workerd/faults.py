"""What can go wrong between us and Cloudflare, as front.mjs does it and as the real API looks then.

Every fault is made for the next request, whatever its route; `at` says otherwise.
"""

from typing import Final, Literal, Self

import msgspec

When = Literal["before", "after"]  # The request is carried out: not at all, or all the same.

FOREVER: Final = 1_000_000


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one request, or of some in a row. The fields are explained in front.mjs."""

    route: str = "*"
    nth: int = 1
    times: int = 1
    when: When = "before"
    statements: int | None = None
    delay_ms: int = 0
    outcome: Literal["answer", "reset", "pass"] = "answer"
    status: int = 0
    headers: dict[str, str] = {}
    body: str = ""

    def at(self, route: str, nth: int = 1, *, times: int = 1) -> Self:
        """Return the same for the nth request of a route, and `times` in all."""
        return msgspec.structs.replace(self, route=route, nth=nth, times=times)


def error(status: int, code: int, message: str, *, when: When = "before") -> Fault:
    """Answer with Cloudflare's envelope of one error."""
    errors = [{"code": code, "message": message}]
    body = {"result": None, "success": False, "errors": errors, "messages": []}
    return Fault(
        when=when,
        status=status,
        headers={"Content-Type": "application/json"},
        body=msgspec.json.encode(body).decode(),
    )


def internal_error(*, when: When = "before") -> Fault:
    """Answer as D1 does when something in it breaks."""
    return error(500, 7500, "internal error; reference = e_0", when=when)


def overloaded() -> Fault:
    """Answer as D1 does when more is asked of it than it can do; nothing was done."""
    return error(429, 7500, "D1 DB is overloaded. Requests queued for too long.")


def rate_limited(*, retry_after_s: int) -> Fault:
    """Refuse as the API does when a user has sent 1,200 requests in five minutes."""
    refused = error(429, 971, "Please wait and consider throttling your request speed")
    headers = {
        **refused.headers,
        "retry-after": str(retry_after_s),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(retry_after_s),
    }
    return msgspec.structs.replace(refused, headers=headers)


def html(status: int = 502, *, when: When = "before") -> Fault:
    """Answer with a page, as what stands before the API does in an outage."""
    page = "<!DOCTYPE html><title>502: Bad gateway</title><h1>Bad gateway</h1>"
    return Fault(when=when, status=status, headers={"Content-Type": "text/html"}, body=page)


def reset(*, when: When = "before") -> Fault:
    """Reset the connection instead of answering."""
    return Fault(when=when, outcome="reset")


def late(delay_ms: int, *, when: When = "after") -> Fault:
    """Do what is asked, but answer late; or do it late, though nobody may wait any more."""
    return Fault(when=when, outcome="pass", delay_ms=delay_ms)


def cut_short(statements: int) -> Fault:
    """Commit the first statements of a batch, not the others, and say that something broke."""
    return Fault(outcome="pass", statements=statements)
