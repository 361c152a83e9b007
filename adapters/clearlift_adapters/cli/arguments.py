"""Refuses secrets that stand in the arguments: `ps` shows those to every user of the machine.

It is too late for that secret, but not for the next one. They are looked for before click says
anything, for it repeats what it does not understand.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import click

CHARS_MIN: Final = 12  # What is shorter may be in a sentence by chance.

_SECRETS: Final = re.compile(r"(ENCRYPTION_KEY(_PREVIOUS)?|SIGNING_KEY|SECRET|(API|SERVE)_TOKEN)$")
_OPTION: Final = re.compile(
    r"--?(?P<name>[\w-]*(encryption[-_]?key|signing[-_]?key|secret|password|api[-_]?(key|token)"
    r"|(access|refresh|serve)[-_]?token)(?![-_]?(file|env))[\w-]*)(=|$)",
    re.IGNORECASE,
)
_ASSIGNED: Final = re.compile(r"(?P<name>[A-Z_]*(ENCRYPTION_KEY|SIGNING_KEY|SECRET|TOKEN)\w*)=.")


def refuse_secrets(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise UsageError if an argument is named like a secret, or holds one of the environment."""
    for argument in arguments:
        named = _OPTION.match(argument) or _ASSIGNED.match(argument)
        if named is not None:
            raise click.UsageError(_said(named["name"].upper().replace("-", "_")))
    refuse_values(arguments, (environment[name] for name in environment if _SECRETS.search(name)))


def refuse_values(arguments: Sequence[str], secrets: Iterable[str]) -> None:
    """Raise UsageError if one of these secrets stands in an argument."""
    for secret in secrets:
        if len(secret) >= CHARS_MIN and any(secret in argument for argument in arguments):
            raise click.UsageError(_said(None))


def _said(name: str | None) -> str:
    place = (
        "the environment or a file"
        if name is None
        else f"{name}, or the file that {name}_FILE names"
    )
    return (
        "a secret stands in the arguments, where every user of this machine can read it: change "
        f"that secret, and put the new one into {place}"
    )
