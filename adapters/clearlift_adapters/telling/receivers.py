"""Who is told, and where: URLs, each of which is a secret."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.redacted import Redacted

_TELLING_CHARS: Final = 16  # A shorter path is not what makes a URL a secret.


class Receivers(Redacted, frozen=True):
    """The URLs that are set."""

    ping: Endpoint | None = None  # Healthchecks, or what understands its pings.
    sentry: Endpoint | None = None  # The check-in URL of a cron monitor.
    slack: Endpoint | None = None  # An incoming webhook.

    @property
    def any(self) -> bool:
        """Return whether anybody is to be told anything."""
        return bool(self.ping or self.sentry or self.slack)

    @property
    def secrets(self) -> Collection[str]:
        """Return what must not be shown: each URL, and its path alone."""
        urls = [each.url for each in (self.ping, self.sentry, self.slack) if each is not None]
        paths = [urlsplit(url).path for url in urls]
        return {*urls, *(path for path in paths if len(path) >= _TELLING_CHARS)}
