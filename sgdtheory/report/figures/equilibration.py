"""How the cloud warms, direction by direction."""

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.recorded_clouds import Array, Cloud, Clouds, rate_of
from sgdtheory.report.figures.style import COLOURS, INK, PALE, log_axis
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

GROUPS = 4  # of directions of neighbouring curvature, a curve each


def equilibration(run: RunData) -> Figure | None:
    """The energy of Hessian directions over its share: while the cloud warms, and at rest."""
    clouds = Clouds.of(run)
    if clouds is None or not clouds.kept.size:
        return None
    warming = _warming(clouds)
    rest = _rest(clouds)
    cell = clouds.slow[0].cell
    is_white = cell["sampling"] != "epoch"

    def paint(canvas: "Canvas") -> None:
        axes = canvas.subplot_mosaic(
            [["warming", "rest"], ["warming", "energy"]], width_ratios=[5, 4]
        )
        for name in ("warming", "rest"):
            axes[name].axhline(1, color=PALE, linewidth=0.9)
        _draw_warming(axes["warming"], warming, is_white)
        _draw_rest(axes["rest"], axes["energy"], rest)
        for panel in axes.values():
            panel.grid(axis="y")
            log_axis(panel.xaxis)
        log_axis(axes["energy"].yaxis)
        canvas.legend(loc="outside upper left", ncols=GROUPS, columnspacing=1.2)

    drawing = drawing_of("equilibration", 3.6, paint)
    caption = _caption(clouds, is_white) + _outlier(rest)
    return Figure("equilibration", "Which directions are warm", caption, drawing, warming + rest)


def _draw_warming(axes: "Axes", rows: Rows, is_white: bool) -> None:
    """A curve for each group of directions; lines where the exact warming is known."""
    curves = grouped(rows, "group").values()
    for colour, curve in zip(COLOURS, curves, strict=False):
        time = [row["time"] for row in curve]
        warmth = [row["warmth"] for row in curve]
        errors = [row["warmth_stderr"] for row in curve]
        curvature = in_short(curve[0]["curvature"], 2)
        axes.errorbar(
            time,
            warmth,
            errors,
            fmt="o",
            markersize=3.5,
            color=colour,
            elinewidth=0.7,
            label=f"h ≈ {curvature}",
        )
        if is_white:
            expected = [row["expected"] for row in curve]
            axes.plot(time, expected, color=colour, linewidth=0.9)
    axes.set(xlabel="time η·step/(1−μ)", ylabel="Tᵢ / law while it warms", ylim=(0, None))


def _draw_rest(above: "Axes", below: "Axes", rows: Rows) -> None:
    """Temperature and energy of every direction at rest, against its curvature."""
    curvatures = [row["curvature"] for row in rows]
    ratios = [row["warmth"] for row in rows]
    errors = [row["warmth_stderr"] for row in rows]
    energies = [row["energy"] for row in rows]
    about_minimum = [row["warmth"] + row["displaced"] for row in rows]
    above.plot(curvatures, about_minimum, "o", markersize=4.5, markerfacecolor="none", color=PALE)
    above.errorbar(curvatures, ratios, errors, fmt="o", markersize=3.5, elinewidth=0.7, color=INK)
    below.plot(curvatures, energies, "o", markersize=3.5, color=INK)
    above.set(ylabel="Tᵢ / law at rest")
    above.tick_params(labelbottom=False)
    below.set(xlabel="curvature hᵢ", ylabel="½hᵢΣᵢᵢ / T")


def _caption(clouds: Clouds, is_white: bool) -> str:
    cell = clouds.slow[0].cell
    count = len(clouds.slow)
    cells = "the cell" if count == 1 else f"the {count} cells"
    together = "" if count == 1 else " together"
    coordinates = ""
    if cell.get("optimiser") == "adam":
        coordinates = ", in the coordinates √σ·θ in which Adam is SGD"
    lines = ""
    if is_white:
        lines = "Lines are the exact warming of a mode: steep ones at once, flat ones last. "
    return (
        f"Tᵢ = hᵢΣᵢᵢ/Cᵢᵢ, finite learning rate removed, of Hessian directions at the "
        f"minimum{coordinates}. "
        f"Left: {cells} of η = {cell['learning_rate']:g}{together}, {cell['replicas']} "
        f"replicas each, which all start at the minimum; directions of neighbouring curvature are "
        f"averaged. {lines}Right: at rest, every direction over {len(clouds.all)} harmonic "
        f"cells, of the fluctuation about each cloud's own mean; one that is not at one has "
        f"another temperature than the law's. Pale rings are about the minimum: anharmonicity "
        f"displaces a mean, which is no heat. Below it the energy ½hᵢΣᵢᵢ: one temperature does not "
        f"mean equal energies, for what each direction gets is T "
        f"times its own noise."
    )


def _outlier(rest: Rows) -> str:
    """The direction that is furthest from the law, in its own errors, and the one whose mean is."""

    def apart(row: Row) -> float:
        error = max(row["warmth_stderr"], 1e-12)
        return float(abs(row["warmth"] - 1) / error)

    furthest = max(rest, key=apart)
    warmth = Measured(furthest["warmth"], furthest["warmth_stderr"])
    errors = apart(furthest)
    curvature = in_short(furthest["curvature"], 2)
    count = len(rest)
    expected = _largest_of(count)
    moved = max(rest, key=lambda row: float(row["displaced"]))
    most_added = Measured(moved["displaced"], moved["displaced_stderr"])
    curvature_of_moved = in_short(moved["curvature"], 2)
    return (
        f" Furthest from one in its own errors is h = {curvature} with "
        f"{warmth} ({errors:.1f} of them; the largest of {count} is expected at about "
        f"{expected:.1f}). Means off the minimum add at most "
        f"{most_added}, at h = {curvature_of_moved}."
    )


def _largest_of(count: int) -> float:
    """The median of the largest of so many |normal| errors, Φ⁻¹((1 + 2^(−1/count))/2)."""
    below = 0.5 ** (1 / count)  # the probability of one error to be below it
    return NormalDist().inv_cdf((1 + below) / 2)


def _warming(clouds: Clouds) -> Rows:
    """A row for each group and moment: the mean of T_i/law over directions, cells and replicas, and
    what it must be."""
    cell, trajectory = clouds.slow[0]
    steps = trajectory["early_steps"]
    eta = rate_of(cell)
    mu = cell["momentum"]
    h = clouds.curvatures
    joined = _early_ratios(clouds)
    count = min(GROUPS, len(clouds.kept))
    rows = []
    for g, group in enumerate(np.array_split(clouds.kept, count)):
        warmth = joined[:, :, group].mean(2)  # [E, P]
        replicas = warmth.shape[1]
        errors = warmth.std(1, ddof=1) / np.sqrt(replicas)
        laws = [exact_warming(h[i], eta, mu, steps) for i in group]
        expected = np.mean(laws, 0)
        logarithms = np.log(h[group])
        curvature = np.exp(logarithms.mean())
        moments = zip(steps, warmth.mean(1), errors, expected, strict=True)
        for step, mean, error, law in moments:
            row = {
                "group": g,
                "curvature": curvature,
                "step": step,
                "time": eta * step / (1 - mu),
                "warmth": mean,
                "warmth_stderr": error,
                "expected": law,
            }
            rows.append({name: float(value) for name, value in row.items()})
    return rows


def _early_ratios(clouds: Clouds) -> Array:
    """T_i/law of every replica of the slow cells while it warms, [E, P, k]."""
    cell = clouds.slow[0].cell
    eta = rate_of(cell)
    mu = cell["momentum"]
    h = clouds.curvatures
    scale = np.zeros_like(h)  # of directions that nothing stirs
    kept = clouds.kept
    finite_steps = 1 - eta * h[kept] / (2 * (1 + mu))
    scale[kept] = h[kept] * finite_steps / clouds.noise[kept]
    ratios = []
    for slow, trajectory in clouds.slow:
        squares = trajectory["early_positions"] ** 2
        ratios.append(scale * squares / slow["predicted"])
    return np.concatenate(ratios, 1)


def exact_warming(curvature: float, rate: float, momentum: float, steps: Array) -> Array:
    """Σ_ii after so many steps from θ* over Σ_ii at rest: 1 − (AᵗΣ_augAᵗᵀ)₀₀/Σ₀₀, A = [[1−ηh, −ημ],
    [h, μ]]; [E]."""
    from scipy.linalg import solve_discrete_lyapunov  # half a second that other pages need not wait

    of_position = [1 - rate * curvature, -rate * momentum]
    of_momentum = [curvature, momentum]
    step = np.array([of_position, of_momentum])
    kick = np.array([[-rate], [1.0]])
    at_rest = solve_discrete_lyapunov(step, kick @ kick.T)
    warmed = []
    for count in steps:
        power = np.linalg.matrix_power(step, int(count))
        missing = power @ at_rest @ power.T
        warmed.append(1 - missing[0, 0] / at_rest[0, 0])
    return np.array(warmed)


def _rest(clouds: Clouds) -> Rows:
    """A row for each direction: T_i/law of the fluctuation about each cloud's mean, what the
    distance of that mean from θ* adds, and the energy over T, over all harmonic cells."""
    found = [_at_rest(cloud, clouds) for cloud in clouds.all]
    columns_of_cells = zip(*found, strict=True)
    warmth, variances, displaced, of_mean, energies = (np.stack(each) for each in columns_of_cells)
    count = len(found)
    doubtful = 4 * np.maximum(0, displaced) * of_mean + 2 * of_mean**2  # variance of a square
    doubts = np.sqrt(doubtful.mean(0) / count)
    errors = np.sqrt(variances.mean(0) / count)
    if count > 1:  # cells may differ by more than chance
        between_cells = warmth.std(0, ddof=1) / np.sqrt(count)
        errors = np.maximum(errors, between_cells)
    names = ("curvature", "warmth", "warmth_stderr", "displaced", "displaced_stderr", "energy")
    h = clouds.curvatures[clouds.kept]
    columns = [h, warmth.mean(0), errors, displaced.mean(0), doubts, energies.mean(0)]
    numbers = np.stack(columns, axis=1).astype(np.float64).tolist()
    return [dict(zip(names, row, strict=True)) for row in numbers]


def _at_rest(cloud: Cloud, clouds: Clouds) -> tuple[Array, Array, Array, Array, Array]:
    """Of one cell [k]: T_i/law about the mean, its variance over replicas, the share of the mean,
    the variance of that mean in the same units, and ½h_iΣ_ii over T.

    The mean of a short run is the sample's: it takes its own variance, that between replicas over
    P, from the fluctuation about it, and its square is larger by as much.
    """
    cell, trajectory = cloud
    h = clouds.curvatures[clouds.kept]
    bend = rate_of(cell) / (2 * (1 + cell["momentum"]))
    positions = trajectory["positions"][:, :, clouds.kept]  # [S, P, k]
    noise = trajectory["noise_diagonal"].mean((0, 1))[clouds.kept]
    scale = h * (1 - bend * h) / noise / cell["predicted"]
    own = positions.mean(0)  # [P, k]
    mean = own.mean(0)
    replicas = len(own)
    between = (own - mean) ** 2 * replicas / max(1, replicas - 1)
    of_mean = between.mean(0) / replicas
    ratios = scale * (positions.var(0) + between)  # [P, k]
    variances = ratios.var(0, ddof=1) / len(ratios)
    squares = positions**2
    energy = h * squares.mean((0, 1)) / 2 / cell["predicted"]
    return ratios.mean(0), variances, scale * (mean**2 - of_mean), scale * of_mean, energy
