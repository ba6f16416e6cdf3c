"""Nothing of a picture is cut off: what stands beyond its edge has it enlarged, long titles are
folded. Besides, `tests/plain_pictures.py` looks at every picture that a test draws."""

import re

import pytest
from matplotlib.figure import Figure

from sgdtheory.report.figures import canvas
from sgdtheory.report.figures.canvas import Drawing, drawing_of, inline
from sgdtheory.report.figures.fitting import ROUGHLY, beyond, made_to_fit

pytestmark = pytest.mark.pictures

LOW = 3.37  # inches
LONG = "0-3: barrier 0.00000 ± 0.00023, a Bézier curve of two bends"


def height_of(drawing: Drawing) -> float:
    return float(re.findall(r' height="([\d.]+)pt"', drawing.svg)[0])


def squares(figure: Figure) -> None:
    """Panels of equal scales, which the layout gives a little too much of the height."""
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes in panels:
        axes.set(aspect="equal", xlim=(-5, 23.5), ylim=(-5, 24), xlabel="x, distance", title="loss")
    panels[0].set_ylabel("y, distance")
    drawn = panels[0].pcolormesh([[1, 2], [3, 4]])
    figure.colorbar(drawn, ax=list(panels), label="loss", aspect=18, shrink=0.85)


def titled(figure: Figure) -> None:
    for axes in figure.subplots(1, 3):
        axes.set_title(LONG)


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """How far every layout of a picture goes beyond its edge, while it is drawn."""
    found = []

    def watched(figure: Figure) -> bool:
        found.append(beyond(figure))
        return made_to_fit(figure)

    monkeypatch.setattr(canvas, "made_to_fit", watched)
    return found


def test_a_picture_that_is_too_low_is_made_higher(layouts: list[tuple[float, float]]) -> None:
    drawing = drawing_of("squares", LOW, squares)
    assert layouts[0][1] > ROUGHLY  # or there is nothing to mend
    assert max(layouts[-1]) <= ROUGHLY and height_of(drawing) > LOW * 72


def test_a_title_that_is_too_long_is_folded_and_no_number_is_parted(
    layouts: list[tuple[float, float]],
) -> None:
    drawing = drawing_of("titled", 2.4, titled)
    assert layouts[0][0] > ROUGHLY
    assert max(layouts[-1]) <= ROUGHLY and 'width="518.4pt"' in drawing.svg
    assert drawing.svg.count("0.00000 ± 0.00023") == 3  # in one line
    assert {panel.title for panel in drawing.panels} == {LONG}


def test_what_has_room_is_left_alone(layouts: list[tuple[float, float]]) -> None:
    drawing = drawing_of("short", 2.4, lambda figure: figure.subplots().set_title("short"))
    assert len(layouts) == 1 and height_of(drawing) == pytest.approx(2.4 * 72)


def test_a_page_shows_no_picture_wider_than_itself() -> None:
    drawing = drawing_of("wide", 2.0, lambda figure: None, width=9.0)
    assert "width: 100%" in inline(drawing, "wide")
