"""A figure that is drawn once into two files is in each what matplotlib alone makes of it."""

import re
from collections.abc import Iterator
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.patheffects import withStroke

from sgdtheory.report.figures.style import SETTINGS
from sgdtheory.report.figures.two_files import UNDATED_PDF, UNDATED_SVG, svg_and_pdf

NEAR = 0.5  # points between a text by its width in the one file and in the other
NUMBER = re.compile(rb"-?\d+\.?\d*")


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    plain = {"svg.hashsalt": "x", "pdf.compression": 0}
    with matplotlib.rc_context({**SETTINGS, **plain}):  # type: ignore[dict-item]
        yield


def painted() -> Canvas:
    """All kinds of things that our pictures have, and colours that are drawn as pixels."""
    canvas = Canvas(figsize=(5, 4))
    lines, meshes = canvas.subplots(1, 2)
    lines.semilogy([1, 2, 3], [1, 20, 300], "o-", label="η/2b")
    lines.errorbar([1, 2, 3], [2, 30, 200], [1, 5, 90], fmt="s")
    lines.fill_between([1, 3], [1, 4], [3, 9], alpha=0.2, hatch="//")
    lines.set(title="both", xlabel="step", ylabel="|θ|")
    lines.annotate("there", (2, 20), (1.2, 90), arrowprops={"arrowstyle": "->"})
    lines.text(2, 3, "rotated\ntwice", rotation=30, path_effects=[withStroke(linewidth=2)])
    lines.legend()
    drawn = meshes.pcolormesh(np.arange(9.0).reshape(3, 3), cmap="viridis")
    meshes.contourf(np.arange(16.0).reshape(4, 4), alpha=0.3)
    meshes.scatter([1, 2], [1, 2], c=[0.1, 0.9], s=[9, 90])
    canvas.colorbar(drawn, ax=meshes)
    return canvas


def test_the_svg_is_that_of_matplotlib_to_the_byte() -> None:
    alone = BytesIO()
    FigureCanvasSVG(painted()).print_svg(alone, metadata=UNDATED_SVG)
    assert svg_and_pdf(painted())[0] == alone.getvalue().decode()


def test_the_pdf_is_that_of_matplotlib_laid_out_by_the_svg() -> None:
    canvas, alone = painted(), BytesIO()
    FigureCanvasSVG(canvas).print_svg(BytesIO())
    canvas.set_layout_engine("none")
    canvas.dpi = 100.0
    FigureCanvasPdf(canvas).print_pdf(alone, metadata=UNDATED_PDF)
    theirs, ours = (_page(pdf) for pdf in (alone.getvalue(), svg_and_pdf(painted())[1]))
    assert NUMBER.sub(b"0", ours) == NUMBER.sub(b"0", theirs)
    places = [np.array([float(n) for n in NUMBER.findall(page)]) for page in (ours, theirs)]
    assert np.abs(places[0] - places[1]).max() < NEAR


def _page(pdf: bytes) -> bytes:
    """The drawing of a file's one page."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return max((stream for stream in streams if b" l\n" in stream), key=len)
