"""The state machine as a picture: its table decides what is drawn, this file where.

Every move of NEXT_STATE that leads to another state is an arrow. What operators say moves nothing
and is no arrow. A move that the machine gets one day and that has no route here is found missing
by a test.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final

import msgspec

from clearlift_engine.machine import NEW, NEXT_STATE, STATES
from clearlift_engine.overview import Crowd, Flow

WIDTH: Final = 508
HEIGHT: Final = 612
BOX_WIDTH: Final = 116
BOX_HEIGHT: Final = 48
LINE: Final = 16  # From one line of a label to the next.
LABEL_MAX: Final = 12  # Characters: what is longer takes a line for each word.
THINNEST, THICKEST = 1.25, 6.0  # Arrows: their areas are as their flows.

# fmt: off
_CENTRES: Final[Mapping[str, tuple[int, int]]] = {
    "new": (245, 32), "due": (245, 150), "refreshing": (96, 300), "failed": (396, 300),
    "job_created": (245, 450), "enqueued": (245, 574),
}
# From, to: the arrow, and where its label begins.
_ROUTES: Final[Mapping[tuple[str, str], tuple[str, tuple[int, int]]]] = {
    ("new", "due"):                ("M245 56 V120",                                    (255, 84)),
    ("due", "refreshing"):         ("M187 158 C130 170 86 210 80 270",                 (36, 176)),
    ("refreshing", "due"):         ("M122 276 C128 225 160 195 202 179",               (162, 228)),
    ("due", "job_created"):        ("M245 174 V420",                                   (255, 376)),
    ("due", "failed"):             ("M288 174 C320 200 350 225 366 270",               (255, 238)),
    ("failed", "due"):             ("M410 276 C410 200 370 160 309 157",               (404, 190)),
    ("refreshing", "failed"):      ("M154 300 H332",                                   (255, 319)),
    ("refreshing", "job_created"): ("M110 324 C120 390 150 430 181 443",               (36, 392)),
    ("job_created", "failed"):     ("M303 442 C350 430 385 390 392 330",               (386, 396)),
    ("job_created", "enqueued"):   ("M245 474 V544",                                   (255, 506)),
    ("enqueued", "due"):           ("M303 574 H474 Q492 574 492 556 V156 Q492 138 474 138 H309",
                                                                                       (330, 548)),
}
# fmt: on


class Node(msgspec.Struct, frozen=True):
    """A state, and how many connections are in it."""

    state: str
    x: int  # Of its centre.
    y: int
    connections: int

    @property
    def words(self) -> str:
        """Return the state as one says it."""
        return "never served" if self.state == NEW else self.state.replace("_", " ")


class Arrow(msgspec.Struct, frozen=True):
    """A move from one state to another, by one transition or more."""

    source: str
    target: str
    path: str
    width: float
    lines: Sequence[tuple[int, int, str]]  # Of its label: x, y, text.
    events: int


class Diagram(msgspec.Struct, frozen=True):
    """The picture."""

    nodes: Sequence[Node]
    arrows: Sequence[Arrow]

    @property
    def words(self) -> str:
        """Return in words what it shows, for those who cannot see it."""
        where = ", ".join(f"{each.connections} {each.words}" for each in self.nodes)
        return f"Connections by state: {where}. The table after it counts each move of the day."


class Move(msgspec.Struct, frozen=True):
    """A line of the table beside the picture."""

    source: str
    transition: str
    target: str
    events: int


def draw(crowds: Sequence[Crowd], flows: Sequence[Flow]) -> Diagram:
    """Return the picture of active connections, and of what moved them."""
    counts = Counter[str]()
    for crowd in crowds:
        if crowd.active:
            counts[crowd.state or NEW] += crowd.connections
    nodes = [Node(state, *_CENTRES[state], counts[state]) for state in (NEW, *STATES)]
    by_ends: dict[tuple[str, str], list[Move]] = defaultdict(list)
    for move in moves(flows):
        if move.source != move.target:
            by_ends[move.source, move.target].append(move)
    most = max((_sum(each) for each in by_ends.values()), default=0)
    return Diagram(nodes, [_arrow(*ends, each, most) for ends, each in by_ends.items()])


def moves(flows: Sequence[Flow]) -> Sequence[Move]:
    """Return every move that the machine knows or the log has, in the machine's order, counted."""
    counts = Counter[tuple[str, str, str]]()
    for source, transition in NEXT_STATE:
        counts[source or NEW, transition, NEXT_STATE[source, transition]] = 0
    for flow in flows:
        counts[flow.source or NEW, flow.transition, flow.target] += flow.events
    return [Move(*ends, events) for ends, events in counts.items()]


def _arrow(source: str, target: str, found: Sequence[Move], most: int) -> Arrow:
    route, (x, y) = _ROUTES[source, target]
    events = _sum(found)
    width = THINNEST + (THICKEST - THINNEST) * sqrt(events / most) if events else THINNEST
    lines: list[str] = []
    for move in found:
        if move.events or move == found[0]:  # What never happens here needs no second label.
            words = move.transition.replace("_", " ")
            lines += [*(words.split() if len(words) > LABEL_MAX else [words]), f"{move.events:,}"]
    placed = [(x, y + LINE * number, text) for number, text in enumerate(lines)]
    return Arrow(source, target, route, round(width, 2), placed, events)


def _sum(found: Sequence[Move]) -> int:
    return sum(move.events for move in found)
