"""A refusal as a sentence that may stand in the database, in logs and on a user's screen.

What a provider writes is quoted only after everything that could be a secret has been struck out:
each one that was sent, by its letters, and whatever else looks like a token.

The patterns are compiled when first asked for, here and in the modules that read refusals: most
runs meet none, and each start would pay for them.
"""

import re
from collections.abc import Collection
from typing import Final

from clearlift_adapters.oauth.verdicts import Finding
from clearlift_adapters.oauth.wire import Lost
from clearlift_engine.ports import Refused

QUOTE_CHARS_MAX: Final = 200
STRUCK_OUT: Final = "…"

# 16 characters without a space of which one is a digit, or 32 of any kind: longer than any error
# code, shorter than any token. URLs fall to it too, and are no loss.
_OPAQUE: Final = r"(?=\S*[0-9])[^\s'\"(),;]{16,}|[^\s'\"(),;]{32,}"
_LIKE_A_CODE: Final = r"[A-Za-z0-9_./ -]{1,40}"


def refused(
    finding: Finding,
    *,
    provider: str,
    settings: str,
    endpoint_setting: str,
    secrets: Collection[str],
    latency_ms: int,
) -> Refused:
    """Return the finding in the engine's form; `settings` names those of our client credentials."""
    code = _code(finding.code, secrets)
    quote = sanitised(finding.quote, secrets).rstrip(".")
    reason = f"{code}: {quote}" if code and quote else code or quote
    match finding.failure_class:
        case "permanent":
            remedy = "the user must reconnect"
        case "configuration":
            remedy = f"check {endpoint_setting if finding.check == 'endpoint' else settings}"
        case "throttled":
            remedy = "it will be asked again later"
        case "transient":
            remedy = "it will be tried again"
    said = f"{provider} {finding.says}" + (f" ({reason})" if reason else "")
    return Refused(
        finding.failure_class,
        f"{said}; {remedy}",
        code=code,
        ambiguous=finding.ambiguous,
        retry_after_ms=finding.retry_after_ms,
        latency_ms=latency_ms,
    )


def unanswered(lost: Lost, *, provider: str) -> Refused:
    """Return a request without an answer in the engine's form: transient, nothing was learnt."""
    return Refused(
        "transient",
        f"{provider} {lost.detail}; it will be tried again",
        code=lost.kind,
        ambiguous=lost.ambiguous,
        latency_ms=lost.latency_ms,
    )


def sanitised(text: str, secrets: Collection[str]) -> str:
    """Return `text` in printable characters, at most QUOTE_CHARS_MAX, without anything secret."""
    printable = "".join(char if char.isprintable() else " " for char in _without(text, secrets))
    clean = re.sub(_OPAQUE, STRUCK_OUT, " ".join(printable.split()))
    return clean if len(clean) <= QUOTE_CHARS_MAX else clean[: QUOTE_CHARS_MAX - 1] + "…"


def _without(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, STRUCK_OUT)
    return text


def _code(code: str | None, secrets: Collection[str]) -> str | None:
    if code is None:
        return None
    clean = sanitised(code, secrets)
    return clean if re.fullmatch(_LIKE_A_CODE, clean) else "unreadable"
