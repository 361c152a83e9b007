"""What the program says on stderr: readable on a terminal, one JSON object a line elsewhere.

structlog is imported with the first line that a person is really shown: importing it, and the rich
that it brings along, takes as long as half an idle tick, and cron would pay for it each time that
there is one line to write. Without a flag only warnings and errors are written; -v adds what
happens, -vv what is of use to a developer, -q leaves errors.

Nobody passes a secret to a log. Should it happen all the same, there is a second line of defence:
what stands under a telling name is blanked, and in texts the secrets of the settings, whatever
looks like an encrypted field, and form fields with a telling name.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from traceback import format_exception
from typing import Final, Literal, TextIO, TypeGuard

import msgspec

Severity = Literal["debug", "info", "warning", "error"]
Line = dict[str, object]

HIDDEN: Final = "[hidden]"
SECRET_CHARS_MIN: Final = 6
# These say more than is good for them: transitions each step, httpx URLs, httpcore headers.
LOUD: Final = ("transitions", "httpx", "httpcore", "aiosqlite", "asyncio")

_RANKS: Final[Mapping[Severity, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_TELLING: Final = re.compile(
    r"token|secret|passw|credential|authorization|cookie|api_?key|encryption_?key", re.IGNORECASE
)
_ENCRYPTED: Final = re.compile(r"[A-Za-z0-9+/]{16}:[A-Za-z0-9+/]*={0,2}:[A-Za-z0-9+/]{22}==")
_FIELD: Final = re.compile(
    r"""((?:access_token|refresh_token|fb_exchange_token|client_secret|encryption_key|api_key)
    (?:\s*=\s*["']?|["']\s*:\s*["'])) [^\s"'&,;})]+""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER: Final = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)


class Log:
    """Where to write, from which severity on, and what each line repeats."""

    def __init__(
        self,
        stream: TextIO,
        *,
        verbosity: int = 0,
        terminal: bool = False,
        colors: bool = False,
        context: Mapping[str, object] | None = None,
        hidden: set[str] | None = None,
    ) -> None:
        self._stream, self._verbosity = stream, verbosity
        self._hidden = set[str]() if hidden is None else hidden
        self._terminal, self._colors = terminal, colors
        self._context = dict(context or {})
        self._least = 30 - 10 * min(max(verbosity, -1), 2)
        self._written: Callable[[Line], str] | None = None

    def bind(self, **fields: object) -> "Log":
        """Return a log whose lines carry these fields too."""
        return Log(
            self._stream,
            verbosity=self._verbosity,
            terminal=self._terminal,
            colors=self._colors,
            context={**self._context, **fields},
            hidden=self._hidden,
        )

    def carry(self, **fields: object) -> None:
        """Let each line carry these fields from now on, whoever writes it through this log."""
        self._context.update(fields)

    @property
    def terminal(self) -> bool:
        """Return whether a person reads it while it is written."""
        return self._terminal

    def hide(self, secrets: Iterable[str]) -> None:
        """Blank these from now on, wherever they stand; what is too short to be a secret stays."""
        self._hidden.update(secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN)

    def shows(self, level: Severity) -> bool:
        """Return whether lines of this severity are written."""
        return _RANKS[level] >= self._least

    def note(self, level: Severity, event: str, **fields: object) -> None:
        """Write one line, if its severity is asked for.

        A log that cannot be written (its disk is full, nobody reads it) is no reason to leave the
        work undone.
        """
        if not self.shows(level):
            return
        if self._written is None:
            self._written = _in_words(colors=self._colors) if self._terminal else _as_json
        line = {**self._context, **fields, "event": event, "level": level}
        said = {key: redacted(key, self._without_hidden(value)) for key, value in line.items()}
        with suppress(OSError):
            self._stream.write(f"{self._written(said)}\n")
            self._stream.flush()

    def _without_hidden(self, value: object) -> object:
        if isinstance(value, str):
            for secret in self._hidden:
                value = value.replace(secret, HIDDEN)
        return value


class Forward(logging.Handler):
    """Takes what libraries log by the standard library, so that it looks like all the rest."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of a library."""
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] and self._log.shows("debug"):
            fields["exception"] = "".join(format_exception(record.exc_info[1]))
        level: Severity = "error" if record.levelno >= logging.ERROR else "warning"
        self._log.note(level, record.getMessage(), **fields)


def listen(log: Log) -> Forward:
    """Let libraries speak through `log`, warnings and worse; return the handler that does it."""
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    handler = Forward(log)
    logging.getLogger().addHandler(handler)
    return handler


def redacted(key: str, value: object) -> object:
    """Return what stands under `key` without what might be a secret."""
    if isinstance(value, str | bytes) and _TELLING.search(key):
        return HIDDEN
    if isinstance(value, str):
        return scrubbed(value)
    if _is_mapping(value):
        return {str(name): redacted(str(name), part) for name, part in value.items()}
    if _is_collection(value):
        return [redacted(key, part) for part in value]
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_collection(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, list | tuple | set | frozenset)


def scrubbed(text: str) -> str:
    """Return `text` without what looks like a secret, and as text that can be written anywhere."""
    text = text.encode("utf-8", "backslashreplace").decode()
    text = _ENCRYPTED.sub(HIDDEN, text)
    text = _FIELD.sub(rf"\1{HIDDEN}", text)
    return _BEARER.sub(rf"\1 {HIDDEN}", text)


def visible(text: str) -> str:
    """Return `text` with its control characters spelt out, for a terminal would obey them."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _in_words(*, colors: bool) -> Callable[[Line], str]:
    """Return what makes of a line what a person reads."""
    from structlog import dev  # noqa: PLC0415  see above

    console = dev.ConsoleRenderer(
        colors=colors,
        pad_event_to=0,
        timestamp_key="at",
        exception_formatter=dev.plain_traceback,
    )

    def written(line: Line) -> str:
        at = time.strftime("%H:%M:%S")
        shown = {
            key: visible(part) if isinstance(part, str) else part for key, part in line.items()
        }
        if "exception" in line:  # The one text that has lines.
            shown["exception"] = "\n".join(map(visible, str(line["exception"]).splitlines()))
        return console(None, "", {**shown, "at": at})

    return written


def _as_json(line: Line) -> str:
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    first = {"at": at, "level": line["level"], "event": line["event"]}
    return msgspec.json.encode({**first, **line}, enc_hook=str).decode()
