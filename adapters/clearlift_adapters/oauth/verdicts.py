"""What a token endpoint's answer means. Pure: an answer in, tokens or a finding out.

The order is the rule:

1. A usable access token in a 2xx wins, whatever else stands there: it may be the only copy.
2. 5xx is transient and 429 throttled, whatever the body says.
3. Then the provider's own words, looked up in its table.
4. Then the bare status.

A finding is permanent only where the provider spoke about this grant, and configuration only where
it spoke about us; whoever cannot be pinned down is transient, so that one odd connection never
stops the others of its provider, nor sends a user through a consent screen for nothing.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, cast

import msgspec

from clearlift_adapters.oauth.retry_after import retry_after_ms
from clearlift_adapters.oauth.wire import Answer
from clearlift_adapters.redacted import Redacted

EXPIRES_IN_S_MAX: Final = 10 * 365 * 24 * 3600  # Longer is a mistake, or never; dates end at 9999.

FailureClass = Literal["transient", "throttled", "permanent", "configuration"]


class Granted(Redacted, frozen=True):
    """New tokens, in the clear."""

    access_token: str
    refresh_token: str | None = None
    expires_in_s: int | None = None  # None: the answer does not say.
    refresh_expires_in_s: int | None = None


class Finding(Redacted, frozen=True):
    """No tokens, and why. `quote` is the provider's own text, which may echo what it was sent."""

    failure_class: FailureClass
    says: str  # Our words, to follow the provider's name.
    code: str | None = None
    quote: str = ""
    ambiguous: bool = False  # The provider may have acted on the request all the same.
    check: Literal["client", "endpoint"] = "client"  # What of ours is wrong, if it is ours.
    retry_after_ms: int | None = None


Body = Mapping[str, object]
Explain = Callable[[Answer, Body], Finding | None]  # None: these words are not in the table.


def verdict(explain: Explain, answer: Answer, now_ms: int) -> Granted | Finding:
    """Return the tokens in `answer`, or what it says instead, by `explain` where that knows."""
    body = _object(answer.body)
    granted = _granted(body) if _is_success(answer) else None
    if granted is not None:
        return granted
    finding = _overruling(answer) or explain(answer, body) or _by_status(answer, body)
    if finding.failure_class in {"permanent", "configuration"}:
        return finding
    return msgspec.structs.replace(finding, retry_after_ms=retry_after_ms(answer.headers, now_ms))


def words(body: Body) -> tuple[str | None, str]:
    """Return the error code and description, wherever this body keeps them.

    RFC 6749 says `error`, `error_description`; Google's APIs nest `{"error": {"status", "message",
    "errors": [{"reason"}]}}`; TikTok also writes `{"error": {"code", "message"}}` or both flat;
    HubSpot `{"status", "message"}`.
    """
    error = body.get("error")
    if isinstance(error, dict):
        nested = cast("Body", error)
        reasons = nested.get("errors")
        first = cast("list[object]", reasons)[0] if isinstance(reasons, list) and reasons else None
        reason = cast("Body", first).get("reason") if isinstance(first, dict) else None
        code = _text(reason) or _text(nested.get("status")) or _text(nested.get("code"))
        return code, _text(nested.get("message")) or ""
    code = _text(error) or _text(body.get("status")) or _text(body.get("code"))
    description = _text(body.get("error_description")) or _text(body.get("message"))
    return code, description or ""


def is_html(answer: Answer) -> bool:
    """Return whether the answer is a page for people."""
    kind = answer.headers.get("content-type", "").lower()
    return "text/html" in kind or answer.body.lstrip()[:1] == b"<"


def _is_success(answer: Answer) -> bool:
    return 200 <= answer.status < 300  # noqa: PLR2004 - what 2xx means


def _object(body: bytes) -> Body:
    """Return the JSON object in `body`, empty if there is none."""
    try:
        decoded: object = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return cast("Body", decoded) if isinstance(decoded, dict) else {}


def _granted(body: Body) -> Granted | None:
    access_token = _token(body.get("access_token"))
    if access_token is None:
        return None
    return Granted(
        access_token,
        _token(body.get("refresh_token")),
        _seconds(body.get("expires_in")),
        _seconds(body.get("refresh_expires_in")),
    )


def _token(value: object) -> str | None:
    """Return a token: RFC 6749 appendix A.12 has printable ASCII, and nothing blank is one."""
    usable = isinstance(value, str) and value.isascii() and value.isprintable() and value.strip()
    return value if isinstance(value, str) and usable else None


def _seconds(value: object) -> int | None:
    """Return a lifetime; some providers send it as a string. What is no number is no answer."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(min(max(value, 0), EXPIRES_IN_S_MAX))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _overruling(answer: Answer) -> Finding | None:
    code = f"http_{answer.status}"
    if answer.status >= 500:  # noqa: PLR2004 - what 5xx means
        return Finding("transient", "is failing", code, ambiguous=True)
    if answer.status == 429:  # noqa: PLR2004 - RFC 6585, Too Many Requests
        return Finding("throttled", "asks for fewer requests", code)
    return None


# RFC 9110 §15.4: 301 and 308 say that the endpoint is elsewhere for good, so its setting is wrong;
# the other redirects are passing, and what a captive portal or a page of maintenance answers with.
_MOVED: Final = Finding("configuration", "says that its token endpoint has moved", check="endpoint")
_ABSENT: Final = Finding("configuration", "has no token endpoint there", check="endpoint")
_STRANGER: Final = Finding("configuration", "does not accept our client credentials")
_BY_STATUS: Final[Mapping[int, Finding]] = {
    301: _MOVED,
    308: _MOVED,
    401: _STRANGER,  # RFC 6749 §5.2: client authentication failed.
    404: _ABSENT,
    405: _ABSENT,
    410: _ABSENT,
}


def _by_status(answer: Answer, body: Body) -> Finding:
    code, quote = words(body)
    if _is_success(answer):
        reason = answer.flaw or ("there is none in it" if body else "it is not a JSON object")
        says = f"answered without a usable token: {reason}"
        finding = Finding("transient", says, ambiguous=True)
    elif 300 <= answer.status < 400 and answer.status not in _BY_STATUS:  # noqa: PLR2004 - 3xx
        finding = Finding("transient", "redirected us, which no secret follows")
    else:
        finding = _BY_STATUS.get(answer.status, _UNCLEAR)
    return msgspec.structs.replace(finding, code=code or f"http_{answer.status}", quote=quote)


_UNCLEAR: Final = Finding("transient", "refused for a reason that is not known here")
