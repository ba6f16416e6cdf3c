"""A matplotlib figure as SVG and as PDF in one pass: most of what drawing takes is in finding out
where ticks and texts go, and is the same for both."""

from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

from matplotlib.backend_bases import FigureCanvasBase, GraphicsContextBase, RendererBase
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.backends.backend_svg import RendererSVG

from sgdtheory.report.figures.fitting import POINTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# none of these comes into a file
UNDATED_SVG = dict.fromkeys(("Date", "Creator", "Format", "Type"))
UNDATED_PDF = dict.fromkeys(("CreationDate", "Creator", "Producer"))


def svg_and_pdf(canvas: "Canvas") -> tuple[str, bytes]:
    """The two files of a figure, laid out once."""
    width, height = canvas.get_size_inches()
    resolution, canvas.dpi = canvas.dpi, POINTS  # of what a picture rasterizes
    svg_out = BytesIO()
    pdf_out = BytesIO()
    text = TextIOWrapper(svg_out, "utf-8", write_through=True)
    size = width * POINTS, height * POINTS
    svg = RendererSVG(*size, text, image_dpi=resolution, metadata=UNDATED_SVG)
    file = PdfFile(pdf_out, metadata=UNDATED_PDF)
    file.newPage(width, height)
    pdf = RendererPdf(file, resolution, height, width)
    renderer: Any = MixedModeRenderer(canvas, width, height, resolution, _Both(svg, pdf))
    _Measured(canvas, renderer)
    canvas.draw(renderer)
    svg.finalize()
    pdf.finalize()
    file.finalize()
    file.close()
    return svg_out.getvalue().decode(), pdf_out.getvalue()


class _Measured(FigureCanvasBase):
    """What has a figure laid out by the sizes of its texts in the file that it is drawn into."""

    def __init__(self, figure: "Canvas", renderer: RendererBase) -> None:
        super().__init__(figure)
        self._renderer = renderer

    def get_renderer(self) -> RendererBase:
        return self._renderer


def _into_both(name: str) -> Callable[..., None]:
    """What draws by the method of this name into the SVG, and then into the PDF."""

    def draw(self: "_Both", *given: Any, **named: Any) -> None:
        getattr(self._svg, name)(*given, **named)
        getattr(self._pdf, name)(*given, **named)

    return draw


class _Both(RendererBase):
    """Everything that is drawn, drawn into both. Of the two the PDF alone changes what it is
    given, and comes last; heights count from below, as in it, and sizes of texts are the SVG's."""

    def __init__(self, svg: RendererSVG, pdf: RendererPdf) -> None:
        super().__init__()
        self._svg = svg
        self._pdf = pdf

    draw_path = _into_both("draw_path")
    draw_markers = _into_both("draw_markers")
    draw_path_collection = _into_both("draw_path_collection")
    draw_quad_mesh = _into_both("draw_quad_mesh")
    draw_gouraud_triangles = _into_both("draw_gouraud_triangles")
    draw_image = _into_both("draw_image")

    def draw_text(
        self, gc: GraphicsContextBase, x: float, y: float, *given: Any, **named: Any
    ) -> None:
        self._svg.draw_text(gc, x, self._svg.height - y, *given, **named)
        self._pdf.draw_text(gc, x, y, *given, **named)

    def open_group(self, *given: Any, **named: Any) -> None:
        self._svg.open_group(*given, **named)

    def close_group(self, *given: Any, **named: Any) -> None:
        self._svg.close_group(*given, **named)

    def new_gc(self) -> GraphicsContextBase:
        made: GraphicsContextBase = self._pdf.new_gc()  # which the SVG reads like its own
        return made

    def flipy(self) -> bool:
        return False

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self._svg.width, self._svg.height

    def get_text_width_height_descent(self, *given: Any, **named: Any) -> Any:
        return self._svg.get_text_width_height_descent(*given, **named)

    def get_image_magnification(self) -> Any:
        return self._svg.get_image_magnification()
