"""What is to be done about one connection: who has to do it, and the next command. Pure functions.

Commands are for a POSIX shell; whatever an id holds, they can be pasted.
"""

import shlex
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import SyncFailed, decode
from clearlift_engine.policy import Blocked, Clause, iso
from clearlift_engine.questions import Failing

PROGRAM: Final = "clearlift-cron"

Who = Literal["nobody", "operator", "user"]


class Advice(msgspec.Struct, frozen=True):
    """What is to be done, by whom, and the command that does it or shows more."""

    who: Who
    sentence: str
    command: str | None = None


def command(verb: str, connection_id: str, *options: str) -> str:
    """Return the command line that does something to a connection."""
    dashes = ["--"] if connection_id.startswith("-") else []
    return " ".join([PROGRAM, verb, *options, *dashes, quoted(connection_id)])


def quoted(text: str) -> str:
    """Return a text as a shell reads it; what cannot be printed is spelt out."""
    if text.isprintable():
        return shlex.quote(text)
    spelt = (char if char.isprintable() and char not in "\\'" else _escaped(char) for char in text)
    return f"$'{''.join(spelt)}'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    return f"\\x{ord(char):02x}" if char.isascii() else f"\\U{ord(char):08x}"


def after_failure(data: str, connection_id: str, retry_at: int | None) -> Advice:
    """Return what follows from the newest failure, a SyncFailed as the log has it."""
    again = command("retry", connection_id)
    try:
        event = decode(SyncFailed.transition, data)
    except UnreadableEventError:
        event = None
    if isinstance(event, SyncFailed) and event.failure_class == "invalid":
        when = "" if retry_at is None else f"; it is tried again at {iso(retry_at)}"
        platform = undeclared(event)
        if platform is not None:
            return Advice("operator", f"{declaring(platform)}, then retry it{when}", again)
        return Advice("operator", f"put right what the message says, then retry it{when}", again)
    if retry_at is None:
        return Advice(
            "user",
            "its user must connect the account again, and the tick after that serves it; "
            f"only if you know that the grant is good after all: {again}",
            command("timeline", connection_id),
        )
    return Advice("nobody", f"wait until {iso(retry_at)}, or let the next tick retry it", again)


def undeclared(event: SyncFailed) -> str | None:
    """Return the platform that has no provider, if that is why its token was not refreshed."""
    unasked = event.code is None and event.attempts == 0
    return event.provider if event.failure_class == "invalid" and unasked else None


def declaring(platform: str) -> str:
    """Return how a platform gets a provider; its name is spelt as TOML has it."""
    bare = platform.isascii() and platform.replace("-", "").replace("_", "").isalnum()
    table = platform if bare else _basic_string(platform)
    return f"declare {platform!r} in a [providers.{table}] table of the configuration file"


def _basic_string(text: str) -> str:
    spelt = (
        char if char.isprintable() and char not in '\\"' else f"\\U{ord(char):08x}" for char in text
    )
    return f'"{"".join(spelt)}"'


def about_failing(failing: Failing) -> Advice:
    """Return what is to be done about a connection that failed, wherever it is by now."""
    if failing.paused_at is not None:
        return about_block(Blocked("paused"), failing.connection_id)
    if failing.state == "failed":
        return after_failure(failing.data, failing.connection_id, failing.retry_at)
    done = "it has a job since" if failing.state in ("job_created", "enqueued") else "it is tried"
    return Advice("nobody", f"nothing: {done}", command("explain", failing.connection_id))


def about_block(blocked: Blocked, connection_id: str) -> Advice:
    """Return what is to be done about a connection that is not due, and did not fail."""
    until = "" if blocked.until is None else f" until {iso(blocked.until)} at the latest"
    life = command("timeline", connection_id)
    row = command("connections show", connection_id)
    rules: Mapping[Clause, Advice] = {
        "inactive": Advice("user", "its user disconnected it: only they can connect it again", row),
        "paused": Advice(
            "operator",
            "resume it when what it was paused for is over",
            command("resume", connection_id, "--reason TEXT"),
        ),
        "in_outbox": Advice("operator", "see that a relay runs", f"{PROGRAM} relay --drain"),
        "refreshing": Advice("nobody", f"wait{until} for the worker that asks for its token", life),
        "open_job": Advice("nobody", f"wait for the consumer{until}", f"{PROGRAM} queue depth"),
        "syncing": Advice("nobody", f"wait{until} for whoever set sync_status to syncing", life),
        "future": Advice(
            "operator", "correct last_synced_at, and the clock of the consumer that wrote it", row
        ),
        "fresh": Advice("nobody", "nothing: it was synced and its interval has not passed"),
    }
    return rules[blocked.clause]
