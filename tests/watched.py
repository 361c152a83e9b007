"""Ports that tell a test of each call, before it is made and after it has returned.

What the test does then is up to it: count, let a rival act, take the database away, kill.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar, cast

Side = Literal["before", "after"]
Watch = Callable[[str, Side], Awaitable[None]]
Port = TypeVar("Port")


async def nobody(name: str, side: Side) -> None:
    """Let every call pass."""


def watched(name: str, port: Port, watch: Watch) -> Port:
    """Return the port; `watch` is awaited on both sides of each call, as `name.method`."""
    return cast("Port", _Watched(name, port, watch))


class _Watched:
    def __init__(self, name: str, port: object, watch: Watch) -> None:
        self._name, self._port, self._watch = name, port, watch

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401  it stands in for any port
        found = getattr(self._port, method)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: object, **kwargs: object) -> object:
            await self._watch(f"{self._name}.{method}", "before")
            result = await found(*args, **kwargs)
            await self._watch(f"{self._name}.{method}", "after")
            return result

        return call


def once(name: str, side: Side, act: Callable[[], Awaitable[object]]) -> Watch:
    """Return a watch that does something at the first such call, and nothing ever after."""
    done = False

    async def watch(called: str, at: Side) -> None:
        nonlocal done
        if not done and (called, at) == (name, side):
            done = True
            await act()

    return watch


def calls_of(name: str) -> tuple[Watch, list[str]]:
    """Return a watch, and a list that gets longer with each such call."""
    calls: list[str] = []

    async def watch(called: str, at: Side) -> None:
        if (called, at) == (name, "before"):
            calls.append(called)

    return watch, calls


def fails(name: str, error: Exception, since: Callable[[], object]) -> Watch:
    """Return a watch that fails every such call, once `since` says something."""

    async def watch(called: str, at: Side) -> None:
        if (called, at) == (name, "before") and since():
            raise error

    return watch
