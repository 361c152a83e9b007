"""The pages in a real browser: what meets, what is too pale, where the keyboard goes, what it asks.

Pictures go to the folder that PICTURES names, if it is set, so that somebody can look at them.
"""

import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from clearlift_adapters.web.facts import Life
from clearlift_adapters.web.page import life_page, report_page
from clearlift_engine.timeline import TimelineLine
from tests.browser.chromium import Chromium, Page, Scheme
from tests.browser.scene import busy
from tests.cli.conftest import program
from tests.cli.program import Program
from tests.cli.serving import server
from tests.given import NOW_MS

__all__ = ["program"]  # The fixture.

PHONE: Final = 390
DESK: Final = 1280
LOOKING: Final = Path(__file__).with_name("looking.js").read_text(encoding="utf-8")
PAGES: Final = ("report", "connection")

ALL_LOOKS: Final[Sequence[tuple[Scheme, int]]] = [
    ("light", PHONE),
    ("light", DESK),
    ("dark", PHONE),
    ("dark", DESK),
]

each_scheme = pytest.mark.parametrize("scheme", ["light", "dark"])
each_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of each kind, with everything on it that there can be."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "report.html").write_text(report_page(busy()), encoding="utf-8")
    lines = [
        TimelineLine(n, NOW_MS, "sync_failed", "due", "failed", f"failed, transient: {'no ' * n}")
        for n in range(1, 9)
    ]
    fields: dict[str, str | None] = {"account name": "x" * 200, "sync error": None}
    life = Life(at=NOW_MS, connection_id="c" * 90, fields=fields, waits_for="it waits", lines=lines)
    (folder / "connection.html").write_text(life_page(life), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page(browser: Chromium) -> Page:
    """Open one page for all: each opening is a process of the browser's."""
    return browser.open()


def take(page: Page, folder: Path, name: str) -> None:
    """Take a picture, and see that it is as wide as the page."""
    file = Path(os.environ.get("PICTURES") or folder) / f"{name}.png"
    page.picture(file)
    assert struct.unpack(">I", file.read_bytes()[16:20]) == (page.js("innerWidth"),)


def show(page: Page, folder: Path, name: str, width: int, scheme: Scheme = "light") -> None:
    page.look(width=width, scheme=scheme)
    page.go(f"file://{folder}/{name}.html")


def asked(page: Page, question: str) -> Any:  # noqa: ANN401  whatever the page says
    return page.js(f"{LOOKING.rstrip().removesuffix(';')}.{question}")


@each_page
def test_no_text_meets_another_or_leaves_the_page(page: Page, folder: Path, name: str) -> None:
    show(page, folder, name, DESK)

    for width in (DESK, PHONE, 320):
        page.look(width=width)
        assert asked(page, "overlaps()") == []
        assert asked(page, "outside()") == []
        assert page.js("document.documentElement.scrollWidth") == width


@each_page
@each_scheme
def test_everything_can_be_read(page: Page, folder: Path, name: str, scheme: Scheme) -> None:
    show(page, folder, name, DESK, scheme)
    page.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")

    found = asked(page, "pale(4.5, 3)")

    assert found["poor"] == []
    assert found["texts"] > 15
    assert name == "connection" or found["marks"] > 50


@each_page
def test_a_page_asks_for_nothing_and_breaks_no_policy(page: Page, folder: Path, name: str) -> None:
    show(page, folder, name, DESK)

    assert page.requests == [f"file://{folder}/{name}.html"]
    assert page.complaints == []


def test_the_keyboard_goes_through_the_page_in_its_order(page: Page, folder: Path) -> None:
    show(page, folder, "report", DESK)

    stops: list[dict[str, Any]] = []
    for _ in range(40):
        page.press("Tab")
        stop = asked(page, "focused()")
        if stop is None or stop in stops:
            break
        stops.append(stop)

    assert stops[0]["what"] == "Skip to the content"
    assert [stop["what"] for stop in stops[1:3]] == ["Limits", "Ticks"]
    assert {"Moves", "Tokens", "The same as a table"} <= {stop["what"] for stop in stops}
    assert all(stop["seen"] for stop in stops)
    assert [stop["order"] for stop in stops] == sorted(stop["order"] for stop in stops)


def test_the_first_key_skips_to_the_content(page: Page, folder: Path) -> None:
    show(page, folder, "report", PHONE)

    page.press("Tab")
    page.press("Enter")

    assert page.js("location.hash") == "#main"


@each_page
def test_those_who_hear_the_page_get_all_of_it(page: Page, folder: Path, name: str) -> None:
    show(page, folder, name, DESK)

    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    pictures = [node for node in nodes if node.get("role", {}).get("value") == "image"]
    levels = asked(page, "headings()")

    assert {"banner", "main", "contentinfo"} <= set(roles)
    assert all(node["name"]["value"] for node in pictures if not node["ignored"])
    assert name == "connection" or len(pictures) >= 4
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_paper_shows_no_way_around_and_stays_white(page: Page, folder: Path) -> None:
    page.look(width=DESK, scheme="dark", media="print")
    page.go(f"file://{folder}/report.html")

    assert page.js("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@each_page
def test_pictures_are_taken_in_each_scheme_and_width(page: Page, folder: Path, name: str) -> None:
    show(page, folder, name, DESK)

    for scheme, width in ALL_LOOKS:
        page.look(width=width, scheme=scheme)
        take(page, folder, f"{name}-{scheme}-{width}")
        background = page.js("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")


def test_the_live_page_asks_only_for_itself_and_looks_as_the_report(
    page: Page, folder: Path, program: Program
) -> None:
    program.seed.add_connection("c", platform="stripe", account_name="<b>x</b>")
    with server(program, "serve") as live:
        live.get("/__scheduled?cron=*+*+*+*+*")
        for scheme, width in ALL_LOOKS:
            page.look(width=width, scheme=scheme)
            page.go(live.url)
            take(page, folder, f"live-{scheme}-{width}")
            assert page.requests == [live.url]
            assert page.complaints == []
            assert asked(page, "overlaps()") == []
            assert asked(page, "pale(4.5, 3)")["poor"] == []
