"""The pages: what they say in words, where things are drawn, and that names stay names."""

from html.parser import HTMLParser

import msgspec
import pytest

from clearlift_adapters.web import diagram, figures
from clearlift_adapters.web.facts import Facts, Life, Sealed, advised, tiles, verdict
from clearlift_adapters.web.page import life_page, report_page
from clearlift_engine.events import encode
from clearlift_engine.machine import NEW, NEXT_STATE
from clearlift_engine.overview import Audit, Backlog, Crowd, Flow, Overview, RunFact, Trouble
from clearlift_engine.policy import HOUR_MS, MINUTE_MS
from clearlift_engine.ports import Depth
from clearlift_engine.timeline import TimelineLine
from tests.given import NOW_MS, failed

QUARTER_MS = 15 * MINUTE_MS
HOSTILE = "<script>alert(1)</script>\"'&\u202e"
QUIET = Overview(
    at=NOW_MS, crowds=[], backlog=Backlog(0), queue=Depth(0), gates=[], runs=[], worst=[]
)


def tick(at_ms: int, outcome: str | None = "done", *, jobs: int = 0, failed: int = 0) -> RunFact:
    ended = None if outcome is None else at_ms + 20
    return RunFact("r", "tick", at_ms, ended, outcome, jobs_created=jobs, failed=failed)


def trouble(name: str) -> Trouble:
    data = encode(failed(retry_at=None))
    return Trouble(name, name, name, 3, NOW_MS, None, data)


def facts(seen: Overview) -> Facts:
    return Facts(overview=seen, flows=[], flows_cut=False, audits=[], seal=None)


class Outline(HTMLParser):
    """Which elements a page has, and what it says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_move_of_the_machine_to_another_state_is_an_arrow() -> None:
    moves = {(source or NEW, target) for (source, _), target in NEXT_STATE.items()}

    drawn = diagram.draw([], [])

    assert {(each.source, each.target) for each in drawn.arrows} == {
        (source, target) for source, target in moves if source != target
    }


def test_arrows_are_as_wide_as_their_flows_and_labelled_with_them() -> None:
    flows = [Flow("job_created", "job_enqueued", "enqueued", 1_000, 1)]
    flows += [Flow(None, "fell_due", "due", 10, 1), Flow(None, "paused", "due", 2, 1)]

    arrows = {(each.source, each.target): each for each in diagram.draw([], flows).arrows}

    assert arrows["job_created", "enqueued"].width == diagram.THICKEST
    assert arrows["due", "failed"].width == diagram.THINNEST
    texts = [text for _, _, text in arrows["new", "due"].lines]
    assert texts == ["fell due", "10", "paused", "2"]


def test_states_count_active_connections() -> None:
    crowds = [
        Crowd("google", "due", active=True, needs_reconnect=False, connections=2),
        Crowd("tiktok", "due", active=True, needs_reconnect=False, connections=3),
        Crowd("tiktok", "due", active=False, needs_reconnect=False, connections=7),
        Crowd("stripe", None, active=True, needs_reconnect=False, connections=1),
    ]

    nodes = {each.state: each.connections for each in diagram.draw(crowds, []).nodes}

    assert (nodes["due"], nodes[NEW], nodes["failed"]) == (5, 1, 0)


def test_strip_shows_what_became_of_each_expected_tick() -> None:
    slots = [NOW_MS - n * QUARTER_MS for n in (4, 3, 2, 1)] + [NOW_MS]
    runs = [tick(slots[3] + 1000, None), tick(slots[2], "many_failed"), tick(slots[0])]

    shown = figures.strip(
        msgspec.structs.replace(QUIET, runs=runs, expected_ticks=slots, at=NOW_MS + 1)
    )

    assert [slot.kind for slot in shown.slots] == ["came", "missed", "trouble", "came", "awaited"]
    assert len({slot.height for slot in shown.slots}) == 4
    assert shown.words.startswith("Of 5 expected ticks 4 came; missed: 1; did not end well: 1.")


def test_a_schedule_by_the_minute_still_fits_on_the_strip_and_hides_no_miss() -> None:
    slots = list(range(NOW_MS - 900 * MINUTE_MS, NOW_MS, MINUTE_MS))
    runs = [tick(slot) for slot in reversed(slots) if not 0 <= slot - slots[450] < 3 * MINUTE_MS]

    shown = figures.strip(msgspec.structs.replace(QUIET, runs=runs, expected_ticks=slots))

    assert len(shown.slots) <= figures.SLOTS_MAX
    assert [slot.kind for slot in shown.slots].count("missed") == 1
    assert shown.missed


@pytest.mark.parametrize(("highest", "top"), [(0, 1), (1, 1), (3, 4), (41, 50), (297, 400)])
def test_axes_end_with_a_round_number(highest: int, top: int) -> None:
    runs = [tick(NOW_MS - 1, jobs=highest)]

    shown = figures.throughput(figures.hours(msgspec.structs.replace(QUIET, runs=runs)))

    assert shown.ys[-1].text == f"{top:,}"
    assert max(bar.jobs_height for bar in shown.bars) <= figures.BOTTOM - figures.TOP


def test_hours_and_durations_are_those_of_the_ticks() -> None:
    runs = [tick(NOW_MS - 1, jobs=5, failed=1), tick(NOW_MS - HOUR_MS, jobs=3)]
    seen = msgspec.structs.replace(QUIET, runs=runs)

    hours, plot = figures.hours(seen), figures.durations(seen)

    assert [(hour.jobs, hour.failed) for hour in hours[-3:]] == [(0, 0), (8, 1), (0, 0)]
    assert len(plot.dots) == 2
    assert plot.words == "2 ticks: half took 20 ms or less, the longest 20 ms."


def test_verdict_is_words_and_says_what_to_do_first() -> None:
    well = msgspec.structs.replace(QUIET, runs=[tick(NOW_MS - 60_000, jobs=7)])
    bad = msgspec.structs.replace(well, queue=Depth(501), backlog=Backlog(2, 0))

    assert verdict(QUIET).words == "No tick in the last day"
    assert verdict(well).words == "All is well"
    assert "made 7 jobs: done" in verdict(well).detail
    assert verdict(bad).words == "2 things need attention"


def test_tiles_show_the_limit_that_each_alert_has() -> None:
    shown = {
        tile.alert.name: tile for tile in tiles(msgspec.structs.replace(QUIET, queue=Depth(250)))
    }

    assert (shown["queue_depth"].limit, shown["queue_depth"].part) == ("fires above 500", 0.25)
    assert shown["error_rate"].limit == "fires above 10.0%"
    assert shown["provider_breaker"].part is None


def test_failed_connections_come_with_what_to_do() -> None:
    [told] = advised(msgspec.structs.replace(QUIET, worst=[trouble("c")]))
    event = msgspec.structs.replace(failed(retry_at=1), failure_class="invalid", provider="acme")
    undeclared = msgspec.structs.replace(trouble("c"), data=encode(event))
    [unknown] = advised(msgspec.structs.replace(QUIET, worst=[undeclared]))
    [damaged] = advised(
        msgspec.structs.replace(QUIET, worst=[msgspec.structs.replace(trouble("c"), data="{")])
    )

    assert told.todo == "Its user must reconnect; then it goes on by itself."
    assert unknown.todo == ("Declare 'acme' in a [providers.acme] table of the configuration file.")
    assert "clearlift-cron replay" in damaged.todo


def test_names_that_customers_chose_are_text_and_nothing_else() -> None:
    crowd = Crowd(HOSTILE, "due", active=True, needs_reconnect=False, connections=1)
    seen = msgspec.structs.replace(QUIET, worst=[trouble(HOSTILE)], crowds=[crowd])
    line = TimelineLine(1, NOW_MS, HOSTILE, None, "due", HOSTILE)
    life = Life(
        at=NOW_MS, connection_id=HOSTILE, fields={"name": HOSTILE}, waits_for=HOSTILE, lines=[line]
    )

    for page in (report_page(facts(seen)), report_page(facts(seen), live=True), life_page(life)):
        outline = Outline(page)
        assert "script" not in outline.tags
        assert "<script>alert(1)</script>" in outline.text
        assert not [name for name, _ in outline.attributes if name.startswith("on")]
        assert "\u202e" not in page


def test_pages_hide_what_looks_like_a_secret() -> None:
    field = "QUJDREVGR0hJSktM:c2VjcmV0:QUJDREVGR0hJSktMTU5PUA=="
    text = f"access_token=geheim123 {field} Bearer abcdefghijk"
    life = Life(at=NOW_MS, connection_id="c", fields={"sync error": text}, waits_for=None, lines=[])

    page = life_page(life)

    assert not [part for part in ("geheim123", field, "abcdefghijk") if part in page]


def test_page_fetches_nothing_and_runs_nothing() -> None:
    outline = Outline(report_page(facts(QUIET)))

    urls = {value for name, value in outline.attributes if name in ("src", "href", "srcset")}
    assert not {"script", "iframe", "img", "form", "object"} & set(outline.tags)
    assert not [url for url in urls if url and not url.startswith(("#", "data:"))]
    assert not [value for name, value in outline.attributes if name == "style"]


def test_page_has_landmarks_one_heading_and_a_caption_for_every_table() -> None:
    outline = Outline(report_page(facts(QUIET)))

    assert [outline.tags.count(tag) for tag in ("header", "main", "footer", "nav", "h1")] == [1] * 5
    assert outline.tags.count("caption") == outline.tags.count("table")
    assert outline.tags.count("th") == [name for name, _ in outline.attributes].count("scope")
    pictures = [value for name, value in outline.attributes if name == "role" and value == "img"]
    labels = [value for name, value in outline.attributes if name == "aria-label" and value]
    assert pictures
    assert len(labels) >= len(pictures)


def test_audits_and_seals_are_told() -> None:
    audit = Audit("replay", NOW_MS, "violated", 9, 2)
    told = msgspec.structs.replace(
        facts(QUIET), audits=[audit], seal=Sealed(3, 90, "2026-10-10T11:00:00.000Z", 10)
    )

    text = Outline(report_page(told)).text

    assert "9 events read, 2 violations" in text
    assert "covers the log up to position 90; 10 rows are newer." in text
    assert "is not sealed" in Outline(report_page(facts(QUIET))).text


def test_what_is_no_unicode_is_shown_and_stops_nothing() -> None:
    page = report_page(facts(msgspec.structs.replace(QUIET, worst=[trouble("a\ud800b")])))

    assert "\\ud800" in page
    page.encode()
