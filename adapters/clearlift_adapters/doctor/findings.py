"""A finding: what was looked at, what is there, and what to do about it."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

Severity = Literal["ok", "warning", "error"]

RANKS: Final[Mapping[Severity, int]] = {"error": 0, "warning": 1, "ok": 2}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `values` never hold a secret."""

    check: str  # A name for scripts: it stays when the words change.
    severity: Severity
    looked_at: str
    found: str  # A sentence.
    values: Mapping[str, object] = {}
    remedy: str | None = None  # None: nothing is to be done.


Findings = Iterator[Finding]
