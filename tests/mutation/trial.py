"""Runs the unit tests of a module in a process in which the module is a mutant.

The process is a fork of this one, which has loaded all that does not come from this project, so
that a mutant takes a second and not four.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from tests.mutation.mutants import Mutant

ROOT: Final = Path(__file__).parents[2]
ENGINE: Final = ROOT / "engine" / "clearlift_engine"
SECONDS_MAX: Final = 120  # A mutant that takes longer would run for ever.
NOT_OURS: Final = (
    *("aiosqlite", "cryptography.hazmat.primitives.ciphers.aead", "httpx", "hypothesis.stateful"),
    *("msgspec", "pytest_asyncio", "structlog", "transitions", "uuid_utils"),
)
_LOADED: Final = "ignore::pytest.PytestAssertRewriteWarning"  # Its plugins are among NOT_OURS.
# Whose tests are asked: those named after it, and these.
ALSO: Final[Mapping[str, Sequence[str]]] = {
    "advice": ("explain",),
    "alerts": ("news",),
    "audit": ("replay", "replay_jobs"),
    "committer": (
        "adoption",
        "completion",
        "gathering",
        "lost_answers",
        "operators",
        "overtaken",
        "rebase",
        "tick_limits",
    ),
    "cycles": ("explain",),
    "decisions": ("completion", "jobs", "operators", "refresh", "tick"),
    "delivery": ("relay", "relay_limits"),
    "explain": ("because",),
    "judge": ("judge_limits", "lost_answers", "refresh", "wave"),
    "machine": ("events", "policy", "stream"),
    "notices": ("news",),
    "overview": ("alerts", "metrics", "news"),
    "pacing": ("pacing_limits", "refresh_pace"),
    "policy": ("policy_limits", "preview", "settings"),
    "questions": ("explain",),
    "refresh": (
        "refresh_limits",
        *("budget", "committer", "gathering", "judge", "judge_limits", "lost_answers"),
        *("overtaken", "refresh_pace", "thawed", "tick", "tick_limits", "wave"),
    ),
    "relay": ("relay_limits",),
    "replay": ("operators", "replay_jobs"),
    "run": (
        *("budget", "committer", "delivery", "gathering", "judge", "lost_answers", "preview"),
        *("refresh", "tick"),
    ),
    "seals": ("replay", "seal", "verify"),
    "stream": ("policy_limits", "replay"),
    "tick": ("budget", "tick_limits"),
    "verify": ("seal",),
}


class Mutated(MetaPathFinder, Loader):
    """Loads one module of the engine from a text that is not its file's."""

    def __init__(self, module: str, source: str) -> None:
        self._name, self._source = f"clearlift_engine.{module}", source

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        del path, target
        return ModuleSpec(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._name, "exec"), vars(module))


def tests_of(module: str) -> Sequence[str]:
    """Return the files whose tests have to mind."""
    names = (module, *ALSO.get(module, ()))
    files = [ROOT / "tests" / "unit" / f"test_{name}.py" for name in names]
    return [str(file) for file in files if file.exists()]


def survivors(module: str, mutants: Sequence[Mutant], jobs: int) -> Iterator[Mutant]:
    """Yield the mutants that no test minds; `jobs` of them are tried at a time."""
    for name in NOT_OURS:
        import_module(name)
    waiting, running = list(reversed(mutants)), dict[int, Mutant]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_fork(module, mutant)] = mutant
        process, status = os.wait()
        mutant = running.pop(process)
        if status == 0:
            yield mutant


def _fork(module: str, mutant: Mutant) -> int:
    process = os.fork()
    if process != 0:
        return process
    try:
        signal.alarm(SECONDS_MAX)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.meta_path.insert(0, Mutated(module, mutant.source))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-k", "not d1", "--tb=no", "-W", _LOADED]
        os._exit(int(pytest.main([*options, *tests_of(module)])))
    finally:
        os._exit(2)
