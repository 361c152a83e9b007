"""Structs that hold secrets, or what a secret may stand in, and never show it.

msgspec gives a struct two ways to print itself: `__repr__`, and the one that rich uses, in its
tracebacks too. Both end here. What remains is to ask for a field by its name, and nobody does that
by accident.
"""

from typing import Any

import msgspec


class Redacted(msgspec.Struct, frozen=True):
    """A struct that prints its name and nothing else."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("", repr(self))]
