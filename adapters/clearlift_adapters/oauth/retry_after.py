"""When a provider says to come back, in ms from now."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Final, cast

import msgspec

# No pause may be longer: a header that is a mistake must not silence a provider for a year.
LONGEST_MS: Final = 24 * 3600 * 1000
_MINUTE_MS: Final = 60 * 1000


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    """Return the longest wait that any header asks for; None if none does.

    `Retry-After` is seconds or a date (RFC 9110 §10.2.3). Meta's usage headers are JSON, in which
    `estimated_time_to_regain_access` is minutes, and 0 says nothing
    (developers.facebook.com/docs/graph-api/overview/rate-limiting).
    """
    waits = [
        wait
        for wait in (
            _retry_after(headers.get("retry-after", ""), now_ms),
            _regain_ms(headers.get("x-business-use-case-usage", "")),
            _regain_ms(headers.get("x-app-usage", "")),
        )
        if wait is not None
    ]
    return min(max(waits), LONGEST_MS) if waits else None


def _retry_after(text: str, now_ms: int) -> int | None:
    if re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*", text):
        return int(float(text) * 1000)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  ten modules for a rare header

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    # Without a zone it is naive, and a date of HTTP is in GMT (RFC 9110 §5.6.7).
    at_s = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    return max(int(at_s * 1000) - now_ms, 0)


def _regain_ms(usage: str) -> int | None:
    try:
        decoded: object = msgspec.json.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return None
    waits = [minutes for minutes in _minutes(decoded) if minutes > 0]
    return int(max(waits) * _MINUTE_MS) if waits else None


def _minutes(usage: object) -> Iterator[float]:
    """Yield each estimate, from an object, or from an object of lists of objects by business id."""
    if isinstance(usage, list):
        for part in cast("list[object]", usage):
            yield from _minutes(part)
    elif isinstance(usage, dict):
        for name, part in cast("dict[str, object]", usage).items():
            if name == "estimated_time_to_regain_access":
                yield float(part) if isinstance(part, int | float) else 0.0
            else:
                yield from _minutes(part)
