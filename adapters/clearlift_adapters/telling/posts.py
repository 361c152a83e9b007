"""What is sent to which receiver, word for word as each documents it.

* Healthchecks (healthchecks.io/docs/http_api): POST to /start and /EXIT-STATUS, `rid` is a UUID
  that joins the two, the body is kept with the ping, up to 100 kB.
* Sentry Crons (docs.sentry.io, "HTTP" of its cron monitors): GET with `status`, and one UUID as the
  `check_in_id` of both check-ins, so that runs may overlap.
* Slack (api.slack.com/messaging/webhooks): POST of {"text": …}; &, < and > in it are escaped.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.redacted import Redacted
from clearlift_adapters.telling.receivers import Receivers

BODY_BYTES_MAX: Final = 100_000  # What Healthchecks keeps.

_JSON: Final = "application/json"


class Post(Redacted, frozen=True):
    """One request to a receiver."""

    receiver: str  # The setting that names it.
    url: str
    method: Literal["GET", "POST"] = "POST"
    body: bytes = b""
    content_type: str | None = None


def of_start(receivers: Receivers, run_id: str) -> Sequence[Post]:
    """Return how to say that a run begins."""
    posts: list[Post] = []
    if receivers.ping is not None:
        posts.append(_ping(receivers.ping, "start", run_id))
    if receivers.sentry is not None:
        posts.append(_check_in(receivers.sentry, "in_progress", run_id))
    return posts


def of_end(receivers: Receivers, run_id: str, code: int, report: object) -> Sequence[Post]:
    """Return how to say that a run has ended, with its exit code and what it reports."""
    posts: list[Post] = []
    if receivers.ping is not None:
        posts.append(_ping(receivers.ping, str(code), run_id, _body(report)))
    if receivers.sentry is not None:
        posts.append(_check_in(receivers.sentry, "error" if code else "ok", run_id))
    return posts


def of_text(slack: Endpoint, text: str) -> Post:
    """Return how to say something in Slack."""
    return Post(
        slack.setting, slack.url, body=msgspec.json.encode({"text": text}), content_type=_JSON
    )


def _ping(to: Endpoint, signal: str, run_id: str, body: bytes = b"") -> Post:
    url = _with(to.url, {"rid": run_id}, signal)
    return Post(to.setting, url, body=body, content_type=_JSON if body else None)


def _check_in(to: Endpoint, status: str, run_id: str) -> Post:
    return Post(to.setting, _with(to.url, {"check_in_id": run_id, "status": status}), "GET")


def _with(url: str, fields: Mapping[str, str], segment: str | None = None) -> str:
    """Return a URL with one more segment of its path, and more fields in its query."""
    parts = urlsplit(url)
    path = parts.path if segment is None else f"{parts.path.rstrip('/')}/{segment}"
    query = "&".join(filter(None, (parts.query, urlencode(fields))))
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _body(report: object) -> bytes:
    """Return a report as JSON; one that is too long goes without its list of failures."""
    body = msgspec.json.encode(report)
    if len(body) <= BODY_BYTES_MAX:
        return body
    fields = msgspec.to_builtins(report)
    return msgspec.json.encode({**fields, "failures": []})
