"""A picture of time against the number of jobs, on logarithmic scales, as SVG of a few lines.

It is readable on light and on dark paper: what is drawn takes the colour of the text around it, and
where nobody says one, that of the reader's system.
"""

from collections.abc import Iterable, Mapping
from html import escape
from math import ceil, floor, log10
from typing import Final, NamedTuple

WIDTH: Final = 760
HEIGHT: Final = 460
LEFT: Final = 70
RIGHT: Final = 590  # Beside it stand the names.
TOP: Final = 20
BOTTOM: Final = 410
LINE: Final = 15  # Between two names, at least.
COLOURS: Final = (
    *("#d9480f", "#2b8a3e", "#1971c2", "#9c36b5", "#e8890c", "#0c8599", "#c2255c", "#5c940d"),
    *("#6741d9", "#868e96"),
)
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#222}.grid{stroke:#8884}"
    ".leader{stroke:#8888;stroke-dasharray:1 3}"
    ".line{fill:none;stroke-width:1.8}.ours{stroke-width:3.5}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)

Curve = Mapping[int, float]  # Seconds, by number of jobs.


class Scale(NamedTuple):
    """Where a number stands between two ends."""

    low: int  # Powers of ten.
    high: int
    start: float
    end: float

    def at(self, number: float) -> float:
        """Return the place of a number."""
        part = (log10(number) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def tens(self) -> Iterable[float]:
        """Return the powers of ten on it."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def spanning(numbers: Iterable[float], start: float, end: float) -> Scale:
    """Return a scale of whole powers of ten on which all numbers have a place."""
    logarithms = [log10(number) for number in numbers]
    low = floor(min(logarithms))
    return Scale(low, max(ceil(max(logarithms)), low + 1), start, end)


def drawn(curves: Mapping[str, Curve]) -> str:
    """Return the picture; the first curve is ours."""
    across = spanning((size for curve in curves.values() for size in curve), LEFT, RIGHT)
    up = spanning((s for curve in curves.values() for s in curve.values()), BOTTOM, TOP)
    parts = [*grid(across, up), *lines(curves, across, up), *names(curves, across, up)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>Seconds to hand N durable jobs to a queue</title><style>{STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def grid(across: Scale, up: Scale) -> Iterable[str]:
    """Yield the lines behind, and what they stand for."""
    for size in across.tens():
        x = across.at(size)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{BOTTOM}"/>'
        yield f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{size:,.0f}</text>'
    for seconds in up.tens():
        y = up.at(seconds)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{seconds:g} s</text>'
    middle = (LEFT + RIGHT) / 2
    named = "durable jobs handed over"
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{named}</text>'


def lines(curves: Mapping[str, Curve], across: Scale, up: Scale) -> Iterable[str]:
    """Yield the curves."""
    for place, curve in enumerate(curves.values()):
        points = " ".join(f"{across.at(n):.1f},{up.at(s):.1f}" for n, s in sorted(curve.items()))
        weight = "line ours" if place == 0 else "line"
        yield f'<polyline class="{weight}" stroke="{colour(place)}" points="{points}"/>'


def names(curves: Mapping[str, Curve], across: Scale, up: Scale) -> Iterable[str]:
    """Yield the names beside the ends of the curves, none upon another."""
    ends = [
        (up.at(curve[max(curve)]), place, across.at(max(curve)), name)
        for place, (name, curve) in enumerate(curves.items())
    ]
    lowest = float(TOP - LINE)
    for end, place, x, name in sorted(ends):
        y = lowest = max(end + 4, lowest + LINE)
        yield f'<path class="leader" d="M{x:.1f} {end:.1f}L{RIGHT + 6} {y - 4:.1f}"/>'
        weight = ' font-weight="bold"' if place == 0 else ""
        yield (
            f'<text x="{RIGHT + 10}" y="{y:.1f}" style="fill:{colour(place)}"{weight}>'
            f"{escape(name)}</text>"
        )


def colour(place: int) -> str:
    """Return the colour of a curve."""
    return COLOURS[place % len(COLOURS)]
