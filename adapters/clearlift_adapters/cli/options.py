"""The options that every command has, before its name or after it, and what they add up to."""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TextIO, cast

import click

from clearlift_adapters.cli.arguments import refuse_values
from clearlift_adapters.cli.output import print_text
from clearlift_adapters.logs import Log, listen
from clearlift_adapters.settings import TIMES, Settings, iso_time, load_settings
from clearlift_adapters.sources import nearest

_STRETCH: Final = r"(?a)(\d{1,6})([dhms])"
_UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}


class Flags:
    """What the command line says for all commands alike; settings and log are made on first use."""

    def __init__(self, environment: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        self.environment, self.arguments = environment, arguments
        self.values: dict[str, str] = {}  # By name, as in the environment.
        self.config: Path | None = None
        self.json = False
        self.verbosity = 0

    @cached_property
    def settings(self) -> Settings:
        """Return the settings in force."""
        settings = load_settings(self.values, self.environment, self.config)
        self.log.hide(settings.secrets)
        refuse_values(self.arguments, settings.secrets)
        for complaint in settings.complaints:
            self.log.note("warning", complaint)
        return settings

    def without(self, names: Collection[str]) -> "Flags":
        """Return the same flags as if these settings had not been made."""
        environment = {k: v for k, v in self.environment.items() if k not in names}
        others = Flags(environment, self.arguments)
        others.values = {k: v for k, v in self.values.items() if k not in names}
        others.config, others.json, others.verbosity = self.config, self.json, self.verbosity
        return others

    @cached_property
    def log(self) -> Log:
        """Return where to say what is no result; libraries speak through it from now on."""
        terminal = sys.stderr.isatty()
        # Colours are for words on a terminal: what a program reads has none, whoever forces them.
        able = self.environment.get("TERM") != "dumb" or self.environment.get("FORCE_COLOR")
        log = Log(
            cast("TextIO", _StandardError()),
            verbosity=self.verbosity,
            terminal=terminal,
            colors=bool(terminal and able and not self.environment.get("NO_COLOR")),
        )
        listen(log)
        return log


class _StandardError:
    """stderr as it is when a line is written: it may be shared with a line of progress by then."""

    def write(self, text: str) -> int:
        """Write some text."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Write out what is still in memory."""
        sys.stderr.flush()


class _Explained(click.Command):
    """A command whose help is a result like any other, also where it cannot be written."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option that prints the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _help
        return option


def _help(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  click's
    if wanted and not ctx.resilient_parsing:
        print_text(ctx.get_help())
        ctx.exit()


class Command(_Explained):
    """A command that takes the options of all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  click's own
        super().__init__(*args, **kwargs)
        self.params += self.shared()

    @classmethod
    def shared(cls) -> list[click.Parameter]:
        """Return the options that it shares with others."""
        return [*_world(), *_manner()]


class SelfContained(Command):
    """A command that brings its own database, queue and settings."""

    @classmethod
    def shared(cls) -> list[click.Parameter]:
        return _manner()


class Group(_Explained, click.Group):
    """A group of such commands, which takes them too."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  click's own
        super().__init__(*args, **kwargs)
        self.params += self.shared()

    @classmethod
    def shared(cls) -> list[click.Parameter]:
        """Return the options that it shares with its commands."""
        return Command.shared()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; of one that is not there, say which may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            near = nearest(args[0], self.list_commands(ctx))
            if near is None or args[0].startswith("-"):
                raise
            raise click.UsageError(f"{exc.message} Did you mean {near!r}?", exc.ctx) from None


def moment(text: str) -> int:
    """Return an option that is an ISO 8601 time, as milliseconds since 1970."""
    try:
        return iso_time(text)
    except ValueError:
        wanted = f"{text!r} is not an ISO 8601 time {TIMES}, such as 2026-10-10T12:00:00Z"
        raise click.BadParameter(wanted) from None


def identifier(text: str) -> str:
    """Return an argument that is an id: any text, but text."""
    try:
        text.encode()
    except UnicodeError:
        raise click.BadParameter("this is no UTF-8") from None
    return text


def stretch(text: str) -> int:
    """Return an option that is a stretch of time (1d, 12h, 30m, 90s) in milliseconds."""
    found = re.fullmatch(_STRETCH, text.strip())
    if found is None or int(found[1]) == 0:
        raise click.BadParameter(f"{text!r} is not a stretch of time such as 1d, 12h, 30m or 90s")
    return int(found[1]) * _UNITS_MS[found[2]]


def _world() -> list[click.Parameter]:
    return [
        _option("--database", metavar="URL", help="Default: sqlite:///clearlift.db"),
        _option("--queue", metavar="URL", help="Default: a table of the same database."),
        _option("--config", metavar="FILE", help="Default: clearlift.toml, if there is one."),
    ]


def _manner() -> list[click.Parameter]:
    return [
        _option("--json", is_flag=True, help="One JSON object; lists: one a line."),
        _option("-v", "--verbose", count=True, help="Log what happens; -vv: all of it."),
        _option("-q", "--quiet", is_flag=True, help="Log errors only; results are still printed."),
    ]


def _option(*names: str, **attributes: Any) -> click.Option:  # noqa: ANN401  click's own
    return click.Option(list(names), expose_value=False, callback=_noted, **attributes)


def _noted(ctx: click.Context, param: click.Parameter, value: Any) -> None:  # noqa: ANN401  click's
    """Add one option to the flags, which are the same before and after the command's name."""
    flags = ctx.find_object(Flags)
    assert flags is not None
    if not value:
        return
    match param.name:
        case "config":
            flags.config = Path(value)
        case "json":
            flags.json = True
        case "verbose":
            flags.verbosity += value
        case "quiet":
            flags.verbosity = -1
        case "database" | "queue" as name:
            flags.values[f"CLEARLIFT_{name.upper()}"] = value
        case _:
            raise AssertionError(param.name)
