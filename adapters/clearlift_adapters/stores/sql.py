"""What the stores ask of a SQL database, be it a file or a service: reads, and whole writes."""

from collections.abc import Sequence
from typing import Any, Protocol

from clearlift_adapters.stores.queries import Query

Value = str | int | float | bytes | None
Row = tuple[Any, ...]
Step = tuple[Query, Sequence[Sequence[Value]]]


class RefusedError(Exception):
    """A constraint or a trigger refused the transaction; nothing of it was done."""


class Database(Protocol):
    """A SQL database that speaks SQLite's dialect. What is asked first is done first.

    Raises, everywhere: UnavailableError if it does not answer, ConfigurationError if the tables are
    not there.
    """

    async def read(self, query: Query, *parameters: Value) -> list[Row]:
        """Return all rows of one query."""
        ...

    async def write(self, steps: Sequence[Step]) -> list[int]:
        """Do each step for every row it has, in their order, all in one transaction.

        Return how many rows of the database each step changed.

        Raises:
            RefusedError: a constraint or a trigger refused; nothing was done.
        """
        ...
