"""The tokens that `connections add` is given: by stdin or a file, never by an argument."""

import sys
from pathlib import Path
from typing import Annotated, Final

import click
import msgspec

from clearlift_adapters.cli.interrupt import as_an_exception
from clearlift_adapters.redacted import Redacted
from clearlift_adapters.sources import read_secret

STDIN_CHARS_MAX: Final = 64 * 1024

# Unknown keys are not repeated: somebody may have mixed up a key and its value.
_WANTED: Final = (
    'stdin is not JSON of the form {"access_token": "…", "refresh_token": "…"}, the latter or null '
    "if there is none; no other key is taken: use --expires-at and --scopes"
)
_NOTHING: Final = (
    "no token on stdin: pipe it in (access token on the first line, refresh token on the second), "
    "or name a file with --access-token-file"
)


class Tokens(Redacted, frozen=True, forbid_unknown_fields=True):
    """What `connections add` reads, if it is JSON."""

    access_token: Annotated[str, msgspec.Meta(min_length=1)]
    refresh_token: str | None = None


def read_tokens(access: Path | None, refresh: Path | None) -> Tokens:
    """Return the tokens from the files that are named, and from stdin otherwise."""
    tokens = _typed() if access is None else Tokens(read_secret("--access-token-file", access))
    if refresh is None:
        return tokens
    if tokens.refresh_token:
        raise click.UsageError("there is a refresh token in --refresh-token-file and on stdin")
    return Tokens(tokens.access_token, read_secret("--refresh-token-file", refresh))


def _typed() -> Tokens:
    """Return the tokens that stdin brings, asked for without echo on a terminal."""
    if sys.stdin.isatty():
        with as_an_exception():
            access = click.prompt("Access token", hide_input=True, err=True)
            refresh = click.prompt(
                "Refresh token, if any", hide_input=True, err=True, default="", show_default=False
            )
        return Tokens(access, refresh or None)
    text = sys.stdin.read(STDIN_CHARS_MAX + 1)
    if len(text) > STDIN_CHARS_MAX:
        raise click.UsageError("stdin has more in it than two tokens")
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text, type=Tokens)
        except msgspec.MsgspecError:
            raise click.UsageError(_WANTED) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    match lines:
        case [access_token]:
            return Tokens(access_token)
        case [access_token, refresh_token]:
            return Tokens(access_token, refresh_token)
        case []:
            raise click.UsageError(_NOTHING)
        case _:
            raise click.UsageError("stdin has more than two lines: access token, refresh token")
