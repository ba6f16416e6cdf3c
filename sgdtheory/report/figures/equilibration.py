"""How the cloud warms, direction by direction, and how it looks while it spreads."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, INK, PALE, TRAIN, log_axis, svg_of
from sgdtheory.statistics.numbers import in_full, in_short
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

GROUPS = 4  # of directions of neighbouring curvature, a curve each
PANELS = 4  # moments of the spreading cloud
Array = np.ndarray


class Cloud(NamedTuple):
    """A cell of a sweep and what was recorded of its cloud."""

    cell: Row
    trajectory: dict[str, Array]


class Clouds(NamedTuple):
    """The harmonic cells of the smallest learning rate, which resolves the warming best; then all
    harmonic ones."""

    slow: list[Cloud]
    all: list[Cloud]
    curvatures: Array  # h_i [k]
    noise: Array  # C_ii at θ* [k]
    kept: Array  # the directions that have curvature and noise

    @classmethod
    def of(cls, run: RunData) -> "Clouds | None":
        minimum = run.tensors("ground.safetensors")
        harmonic = [cell for cell in run.results.get("cells", []) if _is_harmonic(cell)]
        recorded = [Cloud(cell, run.tensors(_file(cell))) for cell in harmonic]
        clouds = [cloud for cloud in recorded if _is_resolved(cloud.trajectory)]
        if not minimum or not clouds:
            return None
        h, noise = minimum["curvatures"], minimum["noise_diagonal"]
        kept = np.flatnonzero((h > 0) & (noise > 1e-6 * noise.max()))
        slowest = min(cloud.cell["learning_rate"] for cloud in clouds)
        slow = [cloud for cloud in clouds if cloud.cell["learning_rate"] == slowest]
        return cls(slow, clouds, h, noise, kept)


def _is_harmonic(cell: Row) -> bool:
    return bool(cell["harmonic"] and not cell.get("minimum") and "quench_time" not in cell)


def _is_resolved(trajectory: dict[str, Array]) -> bool:
    return bool(trajectory) and trajectory["early_steps"].size > 2


def _file(cell: Row) -> str:
    return f"trajectories/{in_full(cell['learning_rate'])}-{cell['batch_size']}.safetensors"


def equilibration(run: RunData) -> Figure | None:
    """The energy of Hessian directions over its share: while the cloud warms, and at rest."""
    clouds = Clouds.of(run)
    if clouds is None or not clouds.kept.size:
        return None
    warming, rest = _warming(clouds), _rest(clouds)
    is_white = clouds.slow[0].cell["sampling"] != "epoch"

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

    svg = svg_of("equilibration", 3.6, paint)
    caption = _caption(clouds, is_white)
    return Figure("equilibration", "Which directions are warm", caption, svg, warming + rest)


def _draw_warming(axes: "Axes", rows: Rows, is_white: bool) -> None:
    """A curve for each group of directions; lines where the exact warming is known."""
    for k, group in enumerate(dict.fromkeys(row["group"] for row in rows)):
        curve = [row for row in rows if row["group"] == group]
        time = [row["time"] for row in curve]
        axes.errorbar(
            time,
            [row["warmth"] for row in curve],
            [row["warmth_stderr"] for row in curve],
            fmt="o",
            markersize=3.5,
            color=COLOURS[k],
            elinewidth=0.7,
            label=f"h ≈ {in_short(curve[0]['curvature'], 2)}",
        )
        if is_white:
            expected = [row["expected"] for row in curve]
            axes.plot(time, expected, color=COLOURS[k], linewidth=0.9)
    axes.set(xlabel="time η·step/(1−μ)", ylabel="Tᵢ / law while it warms", ylim=(0, None))


def _draw_rest(above: "Axes", below: "Axes", rows: Rows) -> None:
    """Temperature and energy of every direction at rest, against its curvature."""
    curvatures = [row["curvature"] for row in rows]
    ratios = [row["warmth"] for row in rows]
    errors = [row["warmth_stderr"] for row in rows]
    energies = [row["energy"] for row in rows]
    above.errorbar(curvatures, ratios, errors, fmt="o", markersize=3.5, elinewidth=0.7, color=INK)
    below.plot(curvatures, energies, "o", markersize=3.5, color=INK)
    above.set(ylabel="Tᵢ / law at rest")
    above.tick_params(labelbottom=False)
    below.set(xlabel="curvature hᵢ", ylabel="½hᵢΣᵢᵢ / T")


def _caption(clouds: Clouds, is_white: bool) -> str:
    cell, count = clouds.slow[0].cell, len(clouds.slow)
    lines = ""
    if is_white:
        lines = "Lines are the exact warming of a mode: steep ones at once, flat ones last. "
    return (
        f"Tᵢ = hᵢΣᵢᵢ/Cᵢᵢ, finite learning rate removed, of Hessian directions at the minimum. "
        f"Left: the {count} cells of η = {cell['learning_rate']:g} together, {cell['replicas']} "
        f"replicas each, which all start at the minimum; directions of neighbouring curvature are "
        f"averaged. {lines}Right: at rest, every direction over {len(clouds.all)} harmonic cells; "
        f"one that is not at one has another temperature than the law's. Below it the energy "
        f"½hᵢΣᵢᵢ: one temperature does not mean equal energies, for what each direction gets is T "
        f"times its own noise."
    )


def _warming(clouds: Clouds) -> Rows:
    """A row for each group and moment: the mean of T_i/law over directions, cells and replicas, and
    what it must be."""
    cell, steps = clouds.slow[0].cell, clouds.slow[0].trajectory["early_steps"]
    eta, mu, h = cell["learning_rate"], cell["momentum"], clouds.curvatures
    scale = h * (1 - eta * h / (2 * (1 + mu))) / clouds.noise
    ratios = []  # each [E, P, k]
    for slow, trajectory in clouds.slow:
        ratios.append(scale * trajectory["early_positions"] ** 2 / slow["predicted"])
    joined = np.concatenate(ratios, 1)
    rows = []
    for g, group in enumerate(np.array_split(clouds.kept, min(GROUPS, len(clouds.kept)))):
        warmth = joined[:, :, group].mean(2)  # [E, P]
        errors = warmth.std(1, ddof=1) / np.sqrt(warmth.shape[1])
        expected = np.mean([exact_warming(h[i], eta, mu, steps) for i in group], 0)
        curvature = np.exp(np.log(h[group]).mean())
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


def exact_warming(curvature: float, rate: float, momentum: float, steps: Array) -> Array:
    """Σ_ii after so many steps from θ* over Σ_ii at rest: 1 − (AᵗΣ_augAᵗᵀ)₀₀/Σ₀₀, A = [[1−ηh, −ημ],
    [h, μ]]; [E]."""
    from scipy.linalg import solve_discrete_lyapunov  # half a second that other pages need not wait

    step = np.array([[1 - rate * curvature, -rate * momentum], [curvature, momentum]])
    kick = np.array([[-rate], [1.0]])
    at_rest = solve_discrete_lyapunov(step, kick @ kick.T)
    powers = [np.linalg.matrix_power(step, int(count)) for count in steps]
    return np.array([1 - (power @ at_rest @ power.T)[0, 0] / at_rest[0, 0] for power in powers])


def _rest(clouds: Clouds) -> Rows:
    """A row for each direction: T_i/law and the energy over T, over all harmonic cells; errors from
    the spread of replicas."""
    means, variances, energies = [], [], []
    h = clouds.curvatures[clouds.kept]
    for cell, trajectory in clouds.all:
        bend = cell["learning_rate"] / (2 * (1 + cell["momentum"]))
        second = (trajectory["positions"] ** 2).mean(0)[:, clouds.kept]  # [P, k]
        noise = trajectory["noise_diagonal"].mean((0, 1))[clouds.kept]
        ratios = h * (1 - bend * h) * second / noise / cell["predicted"]
        means.append(ratios.mean(0))
        variances.append(ratios.var(0, ddof=1) / len(ratios))
        energies.append(h * second.mean(0) / 2 / cell["predicted"])
    errors = np.sqrt(np.mean(variances, 0) / len(variances))
    names = ("curvature", "warmth", "warmth_stderr", "energy")
    columns = [h, np.mean(means, 0), errors, np.mean(energies, 0)]
    numbers = np.stack(columns, axis=1).astype(np.float64).tolist()
    return [dict(zip(names, row, strict=True)) for row in numbers]


class _Panel(NamedTuple):
    """Positions of the replicas at one moment."""

    name: str
    x: Array
    y: Array


def spreading(run: RunData) -> Figure | None:
    """The cloud in the plane of its steepest and its flattest recorded direction, at a few
    moments."""
    clouds = Clouds.of(run)
    if clouds is None or len(clouds.kept) < 2:
        return None
    i, j = clouds.kept[0], clouds.kept[-1]
    *moments, rest = _panels(clouds.slow[0].trajectory, i, j)

    def paint(canvas: "Canvas") -> None:
        panels = [*moments, rest]
        all_axes = canvas.subplots(1, len(panels), sharex=True, sharey=True)
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_cloud(axes, panel, rest)
        all_axes[0].set_ylabel(f"along h = {in_short(clouds.curvatures[j], 2)}")
        canvas.supxlabel(f"along h = {in_short(clouds.curvatures[i], 2)}", fontsize=9.5)

    cell = clouds.slow[0].cell
    caption = (
        f"Every dot is a replica of the cell η = {cell['learning_rate']:g}, b = "
        f"{cell['batch_size']}, seen in the plane of two Hessian directions through the minimum; "
        f"the ellipse is twice the standard deviation at rest. The steep direction fills at once, "
        f"the flat one later; which of the two is wider at rest is decided by Cᵢᵢ/hᵢ."
    )
    rows: Rows = []
    for panel in moments:
        places = zip(panel.x.tolist(), panel.y.tolist(), strict=True)
        rows += [{"panel": panel.name, "x": x, "y": y} for x, y in places]
    svg = svg_of("spreading", 2.2, paint)
    return Figure("spreading", "The cloud as it spreads", caption, svg, rows)


def _panels(trajectory: dict[str, Array], i: int, j: int) -> list[_Panel]:
    """A few moments, and last the cloud at rest, along two directions."""
    steps = trajectory["early_steps"]
    early, late = trajectory["early_positions"], trajectory["positions"]  # [E, P, k]
    moments = np.unique(np.linspace(0, len(steps) - 1, PANELS).round().astype(int))
    panels = [_Panel(f"step {int(steps[m])}", early[m, :, i], early[m, :, j]) for m in moments]
    return [*panels, _Panel("at rest", late[:, :, i].ravel(), late[:, :, j].ravel())]


def _draw_cloud(axes: "Axes", panel: _Panel, rest: _Panel) -> None:
    are_many = panel.x.size > 100
    axes.plot(
        panel.x,
        panel.y,
        ".",
        color=TRAIN,
        markersize=2.5 if are_many else 4,
        alpha=0.3 if are_many else 0.8,
        markeredgewidth=0,
    )
    angle = np.linspace(0, 2 * np.pi, 100)
    x, y = 2 * rest.x.std() * np.cos(angle), 2 * rest.y.std() * np.sin(angle)
    axes.plot(x, y, color=INK, linewidth=0.7)
    axes.set_title(panel.name)
    axes.tick_params(labelsize=7)
    axes.locator_params(nbins=4)
