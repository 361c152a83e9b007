"""Fills the templates: a page is one text, with its style in it and nothing else to fetch."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from shlex import quote
from typing import Final
from urllib.parse import quote as url_quoted

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clearlift_adapters.logs import scrubbed, visible
from clearlift_adapters.web import diagram, figures
from clearlift_adapters.web.facts import AUDITED_DAYS, Facts, Life, advised, tiles, verdict
from clearlift_engine.machine import STATES
from clearlift_engine.overview import Crowd
from clearlift_engine.policy import iso

REFRESH_S: Final = 30  # Of a live page.
NEVER: Final = "never served"
INACTIVE: Final = "inactive"

_HERE: Final = "clearlift_adapters.web"
_TEMPLATES: Final = "templates"


def report_page(facts: Facts, *, live: bool = False) -> str:
    """Return the report; a live one reloads itself and links to its parts."""
    seen = facts.overview
    hours = figures.hours(seen)
    return _filled(
        "report.html",
        live=live,
        facts=facts,
        at=seen.at,
        verdict=verdict(seen),
        tiles=tiles(seen),
        strip=figures.strip(seen),
        diagram=diagram.draw(seen.crowds, facts.flows),
        moves=[move for move in diagram.moves(facts.flows) if move.events],
        flows_from=min((flow.first_at for flow in facts.flows), default=None),
        hours=hours,
        throughput=figures.throughput(hours),
        durations=figures.durations(seen),
        worst=advised(seen),
        states=(NEVER, *STATES, INACTIVE),
        platforms=_platforms(seen.crowds),
        audited_days=AUDITED_DAYS,
    )


def life_page(life: Life, *, live: bool = False) -> str:
    """Return the page of one connection."""
    return _filled("connection.html", live=live, life=life, at=life.at)


def message_page(title: str, text: str) -> str:
    """Return a page that says one thing."""
    return _filled("message.html", live=False, title=title, text=text)


@cache
def content_security_policy() -> str:
    """Return what a browser may load for a page: its one style, its icon, and nothing more."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


class Row:
    """A platform's connections: by state, and by when their tokens end."""

    def __init__(self, platform: str) -> None:
        self.platform = platform
        self.states: dict[str, int] = {}
        self.expired = self.expiring = self.later = 0

    def add(self, crowd: Crowd) -> None:
        """Count some connections; of those that are not active, nobody needs the tokens."""
        state = (crowd.state or NEVER) if crowd.active else INACTIVE
        self.states[state] = self.states.get(state, 0) + crowd.connections
        if crowd.active:
            self.expired += crowd.expired
            self.expiring += crowd.expiring
            self.later += crowd.connections - crowd.expired - crowd.expiring


def _platforms(crowds: Sequence[Crowd]) -> Sequence[Row]:
    rows: dict[str, Row] = {}
    for crowd in crowds:
        rows.setdefault(crowd.platform, Row(crowd.platform)).add(crowd)
    return [rows[name] for name in sorted(rows)]


def _filled(template: str, **values: object) -> str:
    text = (
        _environment()
        .get_template(template)
        .render(
            values,
            style=Markup(_style()),  # noqa: S704  a file of this package, and nothing else
            policy=content_security_policy(),
            refresh_s=REFRESH_S,
            plot=figures,
            picture=diagram,
        )
    )
    # What SQLite holds may not be Unicode; then the page shows what it was.
    return text.encode("utf-8", "backslashreplace").decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_HERE, _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def _grouped(number: int) -> str:
    return f"{number:,}"


def _minute(ms: int) -> str:
    return iso(ms)[:16].replace("T", " ")


def _second(ms: int) -> str:
    return iso(ms)[:19].replace("T", " ")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _segment(text: str) -> str:
    """Return a text as one segment of a URL's path."""
    return url_quoted(text, safe="", errors="replace")


_FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "n": _grouped,
    "utc": _minute,
    "precisely": _second,
    "iso": iso,
    "words": _words,
    "lasting": figures.lasting,
    "shell": quote,
    "segment": _segment,
}


def _shown(value: object) -> object:
    """Return what may be shown of a value: no control characters, nothing that looks secret."""
    return scrubbed(visible(value)) if type(value) is str else value


@cache
def _style() -> str:
    return files(_HERE).joinpath(_TEMPLATES, "style.css").read_text(encoding="utf-8")
