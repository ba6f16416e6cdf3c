"""One look for all pictures: colours that colour-blind people tell apart, and axes that say what
they are."""

from typing import TYPE_CHECKING

from sgdtheory.statistics.numbers import on_log_axis
from sgdtheory.statistics.rows import Row

if TYPE_CHECKING:
    from matplotlib.axis import XAxis, YAxis

INK = "#1f2630"  # axes and text; the report puts the page's own text colour in its place
PALE = "#8a94a3"  # grid, guides, what is not the point
# Okabe & Ito 2008, and two more
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c510a", "#6b6ecf"]
TRAIN, TEST = COLOURS[0], COLOURS[1]
WIDTH = 7.2  # inches, at 72 points an inch; the page scales it

SETTINGS: Row = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "errorbar.capsize": 0,
    "grid.color": PALE,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}


def wants_log(values: list[float]) -> bool:
    """Whether numbers are better seen on a logarithmic axis: all positive, over more than one
    decade."""
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def log_axis(axis: "XAxis | YAxis") -> None:
    """A logarithmic axis whose ticks read 0.1, 0.01, 1e-5; also between the decades where there are
    few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)(
        "log", nonpositive="clip"
    )
    low, high = sorted(axis.get_view_interval())
    few = high < 100 * max(low, 1e-300)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=8))
    axis.set_major_formatter(lambda value, _: on_log_axis(value))
    axis.set_minor_formatter(NullFormatter())
