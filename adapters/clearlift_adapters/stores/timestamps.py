"""What a text in a shared DATETIME column says, read as SQLite's date functions read it.

A database does this in SQL, behind `GLOB '[0-9][0-9][0-9][0-9]-[0-9]*'`, which lets neither words
('now') nor bare numbers (Julian days) pass for a time. This is the same rule for a store without
SQL, oddities included: 31 February is 3 March, hour 24 is the next day, and `T` or blanks or both
may stand between date and time (https://sqlite.org/lang_datefunc.html; the two were compared on
200,000 texts, with SQLite 3.53).
"""

import re
from datetime import date
from functools import lru_cache
from typing import Final

_BLANKS: Final = r"[ \t\n\v\f\r]*"
_TEXT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ \t\n\v\f\rT]*"
    r"(?:(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?"
    rf"{_BLANKS}(?:[Zz]|([+-])(\d\d):(\d\d))?{_BLANKS})?",
    re.ASCII,
)
_LAST: Final = (9999, 12, 31, 24, 59, 59, 14, 59)  # Year … second, and how far a zone is ahead.
_FIRST: Final = (0, 1, 1, 0, 0, 0, 0, 0)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS: Final = 146_097


@lru_cache(maxsize=4096)  # A store in memory reads the same rows again and again.
def milliseconds(raw: object) -> int | None:
    """Return the time in milliseconds since 1970, or None if `raw` is no time."""
    if not isinstance(raw, str):
        return None
    match = _TEXT.fullmatch(raw.split("\0", 1)[0])  # C ends a text there.
    if match is None:
        return None
    parts = tuple(int(part or 0) for part in match.group(1, 2, 3, 4, 5, 6, 9, 10))
    if any(not low <= part <= high for low, part, high in zip(_FIRST, parts, _LAST, strict=True)):
        return None
    year, month, day, hour, minute, second, ahead_h, ahead_min = parts
    ahead = (ahead_h * 60 + ahead_min) * (-1 if match[8] == "-" else 1)
    days = _days_to_month(year, month) + day - 1
    seconds = ((days * 24 + hour) * 60 + minute - ahead) * 60 + second
    fraction = min(int(float(match[7] or 0) * 1000 + 0.5), 999)  # Never up to the next second.
    return seconds * 1000 + fraction


def _days_to_month(year: int, month: int) -> int:
    """Return the days from 1970 to the first of a month, in any year from 0 to 9999."""
    cycles, place = divmod(year, 400)
    like = date(2000 + place, month, 1).toordinal()
    return like - _EPOCH + (cycles - 5) * _DAYS_IN_400_YEARS
