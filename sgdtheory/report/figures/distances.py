"""That the minima are different points: the distance between every two of them."""

from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.statistics.numbers import in_short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_COMPARED = 40  # points in the matrix
MOST_WRITTEN = 8  # points with their distances in numbers
Array = np.ndarray


def distances(run: RunData) -> Figure | None:
    """How far the minima are from one another."""
    points = run.tensors("minima.safetensors").get("minima")
    if points is None or not 2 <= len(points) <= MOST_COMPARED:
        return None
    is_absolute, matrix = _matrix(points, run.is_formula)
    count = len(points)
    names = [row["name"] for row in run.results.get("minima", [])]
    if len(names) != count:
        names = [str(i) for i in range(count)]

    def paint(canvas: "Canvas") -> None:
        from matplotlib import colormaps

        axes = canvas.subplots()
        colours = colormaps["Blues"].resampled(40)  # more would be drawn as pixels
        low, high = _range(matrix)
        drawn = axes.pcolormesh(matrix, cmap=colours, vmin=low, vmax=high)
        axes.set(aspect="equal", xlabel="minimum", ylabel="minimum", ylim=(count, 0))
        every = 1 if count <= 16 else 5
        ticks = [i + 0.5 for i in range(0, count, every)]
        axes.set_xticks(ticks, names[::every])
        axes.set_yticks(ticks, names[::every])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        measure = "|θᵢ − θⱼ|" if is_absolute else "|θᵢ − θⱼ| / √(|θᵢ||θⱼ|)"
        bar = canvas.colorbar(drawn, ax=axes, label=measure, shrink=0.9, aspect=14)
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set_edgecolor("face")
        if count <= MOST_WRITTEN:
            _write_numbers(axes, matrix, is_absolute)

    numbers = []
    for i, j in combinations(range(count), 2):
        distance = float(matrix[i, j])
        numbers.append({"i": names[i], "j": names[j], "distance": distance})
    size = min(5.0, 1.7 + 0.33 * count)
    drawing = drawing_of("distances", size, paint, width=1.3 * size)
    caption = _about_distances(is_absolute)
    return Figure("distances", "The distances between them", caption, drawing, numbers)


def _matrix(points: Array, is_formula: bool) -> tuple[bool, Array]:
    """(whether distances are absolute, the distances [P, P] of points [P, n]); else they are in
    units of the points' own lengths."""
    norms = np.linalg.norm(points.astype(np.float64), axis=1)
    is_absolute = bool(is_formula or not norms.all())
    matrix = np.full((len(points), len(points)), np.nan)
    for i, j in permutations(range(len(points)), 2):
        difference = (points[i] - points[j]).astype(np.float64)
        matrix[i, j] = np.linalg.norm(difference)
    if not is_absolute:
        scale = np.sqrt(norms)
        matrix /= scale[:, None] * scale[None, :]
    return is_absolute, matrix


def _range(matrix: Array) -> tuple[float, float]:
    """What has the palest and the darkest colour: the least and the largest distance."""
    low = float(np.nanmin(matrix))
    high = float(np.nanmax(matrix))
    if high <= low:
        return 0.0, high or 1.0
    return low, high


def _write_numbers(axes: "Axes", matrix: Array, is_absolute: bool) -> None:
    """Every distance in its own square."""
    low, high = _range(matrix)
    for i, j in permutations(range(len(matrix)), 2):
        distance = matrix[i, j]
        colour = "#111111" if distance < low + 0.55 * (high - low) else "#ffffff"
        text = in_short(distance) if is_absolute else f"{distance:.2f}"
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=colour)


def _about_distances(absolute: bool) -> str:
    if absolute:
        return (
            "The distance |θᵢ − θⱼ| between every two minima, in the formula's own "
            "coordinates, coloured from the least to the largest. 0 would be the same "
            "point found twice."
        )
    return (
        "The distance between every two minima in units of their own length, |θᵢ − θⱼ| / "
        "√(|θᵢ||θⱼ|), coloured from the least to the largest. 0 would be the "
        "same point; √2 ≈ 1.41 is what two independent directions of equal length have. "
        "Networks with permuted neurons "
        "compute the same function at different points, and are far apart here."
    )
