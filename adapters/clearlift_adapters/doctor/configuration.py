"""The settings in force, and where each came from.

A secret is told only as set or not set. So is whatever this module does not know by name: a new
setting may hold one.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from clearlift_adapters.doctor.findings import Finding, Findings
from clearlift_adapters.oauth.providers import SETTINGS
from clearlift_adapters.settings import Settings

# What may be shown, and the field that holds it.
_SHOWN: Final[Mapping[str, str]] = {
    "CLEARLIFT_DATABASE": "database",
    "CLEARLIFT_QUEUE": "queue",
    "CLOUDFLARE_API_BASE_URL": "cloudflare_api_base_url",
    "AUDIT_PUBLIC_KEY": "audit_public_key",
    "CLEARLIFT_SYNC_INTERVAL": "sync_interval_s",
    "CLEARLIFT_REFRESH_MARGIN": "refresh_margin_s",
    "CLEARLIFT_BATCH_SIZE": "batch_size",
    "CLEARLIFT_JOB_TIME_LIMIT": "job_time_limit_s",
    "CLEARLIFT_FAIL_THRESHOLD": "fail_threshold_percent",
    "CLEARLIFT_CRON": "cron",
}
_URLS: Final = {names.token_url: platform for platform, names in SETTINGS.items()}
DEFAULT: Final = "default"


def configuration(settings: Settings) -> Findings:
    """Yield what is in force and where it came from, and what is set in vain."""
    values = {name: _told(settings, name, origin) for name, origin in settings.origins.items()}
    for name, provider in settings.providers.items():
        if name not in SETTINGS:
            place = {"set": provider.problem is None, "from": f"[providers.{name}]"}
            names = provider.settings
            values |= dict.fromkeys((names.client_id, names.client_secret), place)
    given = sum(origin != DEFAULT for origin in settings.origins.values())
    file = "no configuration file" if settings.config is None else f"the file is {settings.config}"
    yield Finding(
        "configuration",
        "ok",
        "flags, environment, configuration file",
        f"{given} of {len(settings.origins)} settings are given, the others are defaults; {file}",
        values,
    )
    for complaint in settings.complaints:
        remedy = "correct its name, or unset it"
        yield Finding("unknown_setting", "warning", "environment", complaint, remedy=remedy)


def _told(settings: Settings, name: str, origin: str) -> Mapping[str, object]:
    place = origin
    if settings.config is not None and origin.startswith(f"{settings.config} "):
        place = _with_line(settings.config, origin)
    if name in _SHOWN:
        value: object = getattr(settings, _SHOWN[name])
        shown = without_password(value) if isinstance(value, str) else value
        return {"value": shown, "from": place}
    if name in _URLS:
        url = settings.providers[_URLS[name]].endpoint.url
        return {"value": without_password(url), "from": place}
    return {"set": origin != DEFAULT, "from": place}


def without_password(url: str) -> str:
    """Return a URL without what may be a secret in it: user, password, query."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _with_line(file: Path, origin: str) -> str:
    """Return FILE:LINE for a key at the top of the file."""
    key = re.compile(rf"\s*[\"']?{re.escape(origin.rpartition(' ')[2])}[\"']?\s*=")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return origin
    numbers = (number for number, line in enumerate(lines, start=1) if key.match(line))
    number = next(numbers, None)
    return origin if number is None else f"{file}:{number}"


def named_in(text: str, names: Collection[str]) -> list[str]:
    """Return which of these settings a message names."""
    words = set(re.findall(r"\w+", text))
    return sorted(name for name in names if name in words)
