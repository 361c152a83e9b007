"""Meta's words: a number in `error.code`, and for a wrong app secret only the message beside it.

The codes: developers.facebook.com/docs/graph-api/guides/error-handling and, for the limits,
developers.facebook.com/docs/graph-api/overview/rate-limiting.
"""

import re
from collections.abc import Mapping
from typing import Final, cast

import msgspec

from clearlift_adapters.oauth.verdicts import Body, Finding
from clearlift_adapters.oauth.wire import Answer

_FAILING: Final = Finding("transient", "is failing", ambiguous=True)
_BUSY: Final = Finding("throttled", "asks for fewer requests")
_DEAD: Final = Finding("permanent", "says the access token is revoked or expired")
_FORBIDDEN: Final = Finding("permanent", "says that a permission is missing or was withdrawn")
_CLIENT: Final = Finding("configuration", "does not accept our app id or app secret")

_RULES: Final[Mapping[range, Finding]] = {
    range(1, 3): _FAILING,  # "API Unknown", "API Service".
    range(3, 4): Finding("configuration", "does not let our app do this"),  # "API Method".
    range(4, 5): _BUSY,  # Of the app.
    range(10, 11): _FORBIDDEN,
    range(17, 18): _BUSY,  # Of the user.
    range(32, 33): _BUSY,  # Of the page.
    range(101, 102): _CLIENT,
    range(102, 103): _DEAD,  # "API Session".
    range(190, 191): _DEAD,
    range(200, 300): _FORBIDDEN,
    range(341, 342): _BUSY,
    range(368, 369): Finding("transient", "has blocked this for a time"),
    range(613, 614): _BUSY,
    range(80000, 80100): _BUSY,  # Of a business use case.
}
_SUBCODES: Final[Mapping[int, str]] = {  # Of 190 and 102.
    458: "says the user has removed our app",
    459: "wants the user to log in at facebook.com first",
    460: "says the user's password has changed",
    463: "says the access token has expired",
    464: "wants the user to confirm the account at facebook.com first",
    467: "says the access token was revoked",
    492: "says the user has lost the role on the page",
}

# A wrong secret is code 1, the code of a passing fault (facebookarchive/php-graph-sdk#538); a
# deleted app has been seen under several (#770). The message is what tells.
_OF_THE_APP: Final = (
    r"(?i)(client|app|application)[ _](secret|id)\b|validating application|appsecret"
    r"|API access (blocked|deactivated)"
)


def explain(answer: Answer, body: Body) -> Finding | None:
    """Return what Meta's error object says; None if there is none, or with an unknown code."""
    del answer
    error = body.get("error")
    if not isinstance(error, dict):
        return None
    fields = cast("Body", error)
    code, subcode = _number(fields.get("code")), _number(fields.get("error_subcode"))
    message = fields.get("message")
    quote = message if isinstance(message, str) else ""
    finding = _finding(code, quote)
    if finding is None and fields.get("is_transient") is True:
        finding = _FAILING
    if finding is None:
        finding = Finding("transient", "refused for a reason that is not known here")
    if finding is _DEAD and subcode is not None and subcode in _SUBCODES:
        finding = msgspec.structs.replace(_DEAD, says=_SUBCODES[subcode])
    return msgspec.structs.replace(finding, code=_name(code, subcode), quote=quote)


def _finding(code: int | None, message: str) -> Finding | None:
    if re.search(_OF_THE_APP, message):
        return _CLIENT
    if code is None:
        return None
    return next((finding for codes, finding in _RULES.items() if code in codes), None)


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _name(code: int | None, subcode: int | None) -> str | None:
    if code is None:
        return None
    return str(code) if subcode is None else f"{code}/{subcode}"
