"""From matplotlib to pictures: SVG whose text is text, the same as PDF, and where its axes stand;
equal bytes for equal data."""

import json
import logging
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, NamedTuple, cast

from sgdtheory.report.figures.fitting import POINTS, made_to_fit
from sgdtheory.report.figures.style import INK, SETTINGS, WIDTH
from sgdtheory.report.stdio import harmless
from sgdtheory.statistics.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure as Canvas

MOST_LAYOUTS = 4  # of a picture, until all that is drawn has room
_DIGITS = re.compile(r"-?\d+\.\d{3,}")  # of a coordinate


class Panel(NamedTuple):
    """Axes of a picture: where they stand, in points from the upper left corner, and what they
    are of."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    title: str
    x: Row
    y: Row


class Drawing(NamedTuple):
    """A picture in the forms in which it is given away."""

    svg: str
    pdf: bytes
    panels: list[Panel]

    @property
    def axes_in_words(self) -> str:
        """What is drawn against what, for those who cannot see it."""
        described: dict[str, None] = {}
        for panel in self.panels:
            upright = panel.y["label"]
            across = panel.x["label"]
            if upright and across:
                described[f"{upright} against {across}"] = None
        count = len(self.panels)
        words = "; ".join(described)
        if count > 1 and described:
            return f"{count} panels: {words}"
        return words


def drawing_of(
    name: str, height: float, paint: "Callable[[Canvas], None]", width: float = WIDTH
) -> Drawing:
    """What `paint` puts on a matplotlib figure; ids in the SVG begin with `name`, so that a page
    may hold several.

    Nobody's matplotlibrc, no date and no random id comes into it: equal data give equal bytes.

    """
    # where there is no HOME, it speaks of its caches
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        cast(Row, matplotlib.rcParams).update({**SETTINGS, "svg.hashsalt": name})
        canvas = Canvas(figsize=(width, height))
        paint(canvas)
        _tell_logarithms(canvas)
        svg, pdf = _rendered(canvas)
        for _ in range(MOST_LAYOUTS):
            if not made_to_fit(canvas):
                break
            svg, pdf = _rendered(canvas)
        return Drawing(_tidy(svg, name), pdf, _panels(canvas))


def _rendered(canvas: "Canvas") -> tuple[str, bytes]:
    """The two files that matplotlib makes of a figure, by far the longest part of drawing it."""
    from sgdtheory.report.figures.two_files import svg_and_pdf

    return svg_and_pdf(canvas)


def _tidy(svg: str, name: str) -> str:
    """Ids made unique, a generic font, no prologue, lines to a hundredth of a point."""
    start = svg.index("<svg")
    svg = harmless(svg[start:])
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = re.sub(r'(?<= d=")[^"]+', lambda line: _DIGITS.sub(_hundredths, line[0]), svg)
    svg = re.sub(r"(font: [\d. a-z]*px) [^;\"]*", r"\1 sans-serif", svg)
    return re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", svg)


def _hundredths(digits: re.Match[str]) -> str:
    return f"{float(digits[0]):.2f}".rstrip("0").rstrip(".")


def _tell_logarithms(canvas: "Canvas") -> None:
    """Every logarithmic axis that has a name says so."""
    for axes in canvas.axes:
        for axis in (axes.xaxis, axes.yaxis):
            words = axis.label.get_text()
            if words and axis.get_scale() == "log":
                axis.label.set_text(f"{words} (log)")


def _panels(canvas: "Canvas") -> list[Panel]:
    """The axes that are read by their numbers; colour bars are none."""
    drawn = [axes for axes in canvas.axes if axes.axison and axes.get_label() != "<colorbar>"]
    panels = [_panel(axes, canvas) for axes in drawn if len(axes.get_xticks())]
    return [_named(panel, panels) for panel in panels]


def _panel(axes: "Axes", canvas: "Canvas") -> Panel:
    width, height = canvas.get_size_inches() * POINTS
    place = axes.get_position()
    across = [place.x0 * width, place.x1 * width]
    down = [(1 - place.y1) * height, (1 - place.y0) * height]
    left, right, top, bottom = (round(float(side), 2) for side in across + down)
    title = (axes.get_title(loc="left") or axes.get_title()).replace("\n", " ")
    x = _scale(axes.xaxis, axes.get_xlim())
    y = _scale(axes.yaxis, axes.get_ylim())
    return Panel((left, top, right, bottom), title, x, y)


def _scale(axis: "XAxis | YAxis", ends: tuple[float, float]) -> Row:
    """What turns a place on an axis into a number; `names` where places have names instead."""
    from matplotlib.ticker import FixedFormatter

    low, high = (float(end) for end in ends)
    scale: Row = {
        "label": axis.label.get_text().replace("\n", " "),
        "low": low,
        "high": high,
        "log": axis.get_scale() == "log",
    }
    formatter = axis.get_major_formatter()
    if isinstance(formatter, FixedFormatter) or "Category" in type(formatter).__name__:
        labels = [label.get_text() for label in axis.get_ticklabels()]
        places = [float(place) for place in axis.get_ticklocs()]
        scale["names"] = dict(zip(places, labels, strict=False))
    return scale


def _named(panel: Panel, panels: list[Panel]) -> Panel:
    """With the names of axes that only the lowest or the leftmost of several panels has."""
    left, top, right, bottom = panel.box
    below = []
    beside = []
    for other in panels:
        other_left, other_top, other_right, other_bottom = other.box
        if (other_left, other_right) == (left, right):
            below.append(other.x)
        if (other_top, other_bottom) == (top, bottom):
            beside.append(other.y)
    x = _first_named(panel.x, below)
    y = _first_named(panel.y, beside)
    return panel._replace(x=x, y=y)


def _first_named(scale: Row, others: list[Row]) -> Row:
    """A scale with the first name among its own and those of others."""
    for other in (scale, *others):
        if other["label"]:
            return {**scale, "label": other["label"]}
    return {**scale, "label": ""}


def inline(drawing: Drawing, words: str) -> str:
    """For a page: text and axes in the page's own colour, light or dark; as wide as its share of
    the page's width; `words`, and what is drawn against what, for those who cannot see it."""
    svg = drawing.svg
    width = re.search(r' width="([\d.]+)pt"', svg)
    share = 1.0
    if width:
        inches = float(width[1]) / POINTS
        share = min(1.0, inches / WIDTH)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    described = [panel._asdict() for panel in drawing.panels]
    panels = json.dumps(described, ensure_ascii=False)
    panels = escape(harmless(panels))
    said = harmless(f"{words}. {drawing.axes_in_words}".removesuffix(" "))
    attributes = (
        f'role="img" aria-label="{escape(said)}" data-panels="{panels}" '
        f'style="width: {100 * share:.0f}%; min-width: {28 * share:.0f}rem" '
    )
    svg = svg.replace("<svg ", f"<svg {attributes}", 1)
    return svg.replace(INK, "currentColor")
