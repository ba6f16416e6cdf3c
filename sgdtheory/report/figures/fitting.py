"""Room for all that is drawn: a page cuts off what stands beyond the edge of a picture."""

from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Text

POINTS = 72  # an inch
ROUGHLY = 1.0  # points by which words may stand out: fonts differ by as much
WIDE = 0.9  # of the letters that fit: a line of digits is wider than one of words
WHOLE = "\u00a0±\u00a0"  # a number and its error, which no line parts
APART = 6.0  # points between a title and what stands beside it


def made_to_fit(canvas: "Canvas") -> bool:
    """Fold the titles of a picture that was laid out and has too little room for them, and enlarge
    it by what stands beyond its edges; says whether it is to be laid out again.

    The layout of matplotlib is one of axes whose shape is free: those of equal scales are placed
    within it, and their words may come to stand outside. To titles it gives no width at all.
    """
    folded = [_fold(axes, canvas) for axes in canvas.axes]
    return any(folded) or _enlarge(canvas)


def beyond(canvas: "Canvas") -> tuple[float, float]:
    """By how many points what is drawn stands out of a picture: (across, upright)."""
    width, height = canvas.get_size_inches()
    box = canvas.get_tightbbox()  # in inches
    across = max(0.0, -box.x0) + max(0.0, box.x1 - width)
    upright = max(0.0, -box.y0) + max(0.0, box.y1 - height)
    return float(POINTS * across), float(POINTS * upright)


def _enlarge(canvas: "Canvas") -> bool:
    across, upright = map(_with_margins, beyond(canvas))
    width, height = canvas.get_size_inches()
    canvas.set_size_inches(width + across / POINTS, height + upright / POINTS)
    return bool(across or upright)


def _with_margins(points: float) -> float:
    """What is added to a picture out of which so many points stand."""
    if points > ROUGHLY:
        return points + 2 * ROUGHLY
    return 0.0


def _fold(axes: "Axes", canvas: "Canvas") -> bool:
    """Break the title of a panel between words where it is wider than its room; says whether it
    was."""
    title = _title(axes)
    if title is None or "\n" in title.get_text():
        return False
    words = title.get_text()
    place = title.get_window_extent()
    room = float(_end_of_room(axes, canvas) - place.x0)
    if place.width <= room:
        return False
    fitting = int(WIDE * len(words) * room / place.width)
    in_lines = _in_lines(words, max(1, fitting))
    title.set_text(in_lines)
    return True


def _in_lines(words: str, letters: int) -> str:
    """Words in lines of so many letters: two, parted at the last comma, where that will do."""
    head, comma, tail = words.rpartition(", ")
    if comma and max(len(head) + 1, len(tail)) <= letters:
        return f"{head},\n{tail}"
    lines = fill(words.replace(" ± ", WHOLE), letters, break_long_words=False)
    return lines.replace(WHOLE, " ± ")


def _title(axes: "Axes") -> "Text | None":
    """The text that stands on the left above a panel."""
    from matplotlib.text import Text

    words = axes.get_title(loc="left")
    if not words:
        return None
    for part in axes.get_children():
        if isinstance(part, Text) and part.get_text() == words:
            return part
    return None


def _end_of_room(axes: "Axes", canvas: "Canvas") -> float:
    """Where the next panel to the right begins, else the picture ends, in pixels."""
    here = axes.get_window_extent()
    ends = [float(canvas.bbox.x1)]
    for other in canvas.axes:
        place = other.get_window_extent()
        is_beside = place.y0 < here.y1 and place.y1 > here.y0
        if place.x0 > here.x1 and is_beside:
            ends.append(float(place.x0) - APART * canvas.dpi / POINTS)
    return min(ends)
