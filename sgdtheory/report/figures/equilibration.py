"""How the cloud warms, direction by direction, and how it looks while it spreads."""

from typing import Any, NamedTuple

import numpy as np

from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, INK, PALE, TRAIN, log_axis, svg_of
from sgdtheory.statistics.measured import in_full

GROUPS = 4  # of directions of neighbouring curvature, a curve each
PANELS = 4  # moments of the spreading cloud
DOTS: dict[str, Any] = {"fmt": "o", "markersize": 3.5, "elinewidth": 0.7}
Array = np.ndarray


class Clouds(NamedTuple):
    """The harmonic cells of the smallest learning rate, which resolves the warming best; then all
    harmonic ones."""

    slow: list[tuple[dict[str, Any], dict[str, Array]]]  # (cell, its trajectory)
    all: list[tuple[dict[str, Any], dict[str, Array]]]
    curvatures: Array  # h_i [k]
    noise: Array  # C_ii at θ* [k]
    kept: Array  # the directions that have curvature and noise

    @classmethod
    def of(cls, run: RunData) -> "Clouds | None":
        ground = run.tensors("ground.safetensors")
        found = run.results.get("cells", [])
        cells = [
            cell
            for cell in found
            if cell["harmonic"] and not cell.get("minimum") and "quench_time" not in cell
        ]
        named = [
            (
                c,
                run.tensors(
                    f"trajectories/{in_full(c['learning_rate'])}-{c['batch_size']}.safetensors"
                ),
            )
            for c in cells
        ]
        found = [(cell, cloud) for cell, cloud in named if cloud and cloud["early_steps"].size > 2]
        if not ground or not found:
            return None
        h, noise = ground["curvatures"], ground["noise_diagonal"]
        slowest = min(cell["learning_rate"] for cell, _ in found)
        slow = [(cell, cloud) for cell, cloud in found if cell["learning_rate"] == slowest]
        return cls(slow, found, h, noise, np.flatnonzero((h > 0) & (noise > 1e-6 * noise.max())))


def equilibration(run: RunData) -> Figure | None:
    """The energy of Hessian directions over its share: while the cloud warms, and at rest."""
    clouds = Clouds.of(run)
    if clouds is None or not clouds.kept.size:
        return None
    warming, rest = _warming(clouds), _rest(clouds)
    white = clouds.slow[0][0]["sampling"] != "epoch"

    def paint(canvas: Any) -> None:
        axes = canvas.subplot_mosaic(
            [["warming", "rest"], ["warming", "energy"]], width_ratios=[5, 4]
        )
        for name in ("warming", "rest"):
            axes[name].axhline(1, color=PALE, linewidth=0.9)
        for k, group in enumerate(dict.fromkeys(row["group"] for row in warming)):
            own = [row for row in warming if row["group"] == group]
            time, warmth, error, expected = (
                [row[name] for row in own]
                for name in ("time", "warmth", "warmth_stderr", "expected")
            )
            style = {
                "fmt": "o",
                "markersize": 3.5,
                "color": COLOURS[k],
                "elinewidth": 0.7,
                "label": f"h ≈ {own[0]['curvature']:.2g}",
            }
            axes["warming"].errorbar(time, warmth, error, **style)
            if white:
                axes["warming"].plot(time, expected, color=COLOURS[k], linewidth=0.9)
        h = [row["curvature"] for row in rest]
        ratios, errors = ([row[name] for row in rest] for name in ("warmth", "warmth_stderr"))
        axes["rest"].errorbar(h, ratios, errors, **DOTS, color=INK)
        axes["energy"].plot(h, [row["energy"] for row in rest], "o", markersize=3.5, color=INK)
        for axis in axes.values():
            axis.grid(axis="y")
            log_axis(axis.xaxis)
        log_axis(axes["energy"].yaxis)
        axes["warming"].set(
            xlabel="time η·step/(1−μ)", ylabel="Tᵢ / law while it warms", ylim=(0, None)
        )
        axes["rest"].set(ylabel="Tᵢ / law at rest")
        axes["rest"].tick_params(labelbottom=False)
        axes["energy"].set(xlabel="curvature hᵢ", ylabel="½hᵢΣᵢᵢ / T")
        canvas.legend(loc="outside upper left", ncols=GROUPS, columnspacing=1.2)

    cell, count = clouds.slow[0][0], len(clouds.slow)
    caption = (
        f"Tᵢ = hᵢΣᵢᵢ/Cᵢᵢ, finite learning rate removed, of Hessian directions at the "
        f"minimum. Left: the {count} cells of "
        f"η = {cell['learning_rate']:g} together, {cell['replicas']} replicas each, which "
        f"all start at the minimum; directions "
        "of neighbouring curvature are averaged. "
        + (
            "Lines are the exact warming of a mode: steep ones at once, flat ones last. "
            if white
            else ""
        )
        + f"Right: at rest, every direction over {len(clouds.all)} harmonic cells; one that "
        f"is not at one has another "
        "temperature than the law's. Below it the energy ½hᵢΣᵢᵢ: one temperature does not "
        "mean equal energies, for what "
        "each direction gets is T times its own noise."
    )
    return Figure(
        "equilibration",
        "Which directions are warm",
        caption,
        svg_of("equilibration", 3.6, paint),
        warming + rest,
    )


def _warming(clouds: Clouds) -> list[dict[str, Any]]:
    """A row a group and moment: the mean of T_i/law over directions, cells and replicas, and what
    it must be."""
    cell, steps = clouds.slow[0][0], clouds.slow[0][1]["early_steps"]
    eta, mu, h = cell["learning_rate"], cell["momentum"], clouds.curvatures
    scale = h * (1 - eta * h / (2 * (1 + mu))) / clouds.noise
    # [E, P, k]
    each = np.concatenate(
        [scale * c["early_positions"] ** 2 / own["predicted"] for own, c in clouds.slow], 1
    )
    rows = []
    for g, group in enumerate(np.array_split(clouds.kept, min(GROUPS, len(clouds.kept)))):
        warmth = each[:, :, group].mean(2)  # [E, P]
        errors = warmth.std(1, ddof=1) / np.sqrt(warmth.shape[1])
        expected = np.mean([exact_warming(h[i], eta, mu, steps) for i in group], 0)
        for step, mean, error, law in zip(steps, warmth.mean(1), errors, expected, strict=True):
            row = {
                "group": g,
                "curvature": np.exp(np.log(h[group]).mean()),
                "step": step,
                "time": eta * step / (1 - mu),
            }
            rows.append({**row, "warmth": mean, "warmth_stderr": error, "expected": law})
    return [{name: float(value) for name, value in row.items()} for row in rows]


def exact_warming(curvature: float, rate: float, momentum: float, steps: Array) -> Array:
    """Σ_ii after so many steps from θ* over Σ_ii at rest: 1 − (AᵗΣ_augAᵗᵀ)₀₀/Σ₀₀, A = [[1−ηh, −ημ],
    [h, μ]]; [E]."""
    from scipy.linalg import solve_discrete_lyapunov  # half a second that other pages need not wait

    step = np.array([[1 - rate * curvature, -rate * momentum], [curvature, momentum]])
    kick = np.array([[-rate], [1.0]])
    at_rest = solve_discrete_lyapunov(step, kick @ kick.T)
    powers = [np.linalg.matrix_power(step, int(count)) for count in steps]
    return np.array([1 - (power @ at_rest @ power.T)[0, 0] / at_rest[0, 0] for power in powers])


def _rest(clouds: Clouds) -> list[dict[str, Any]]:
    """A row a direction: T_i/law and the energy over T, over all harmonic cells; errors from the
    spread of replicas."""
    means, variances, energies = [], [], []
    for cell, cloud in clouds.all:
        h, bend = clouds.curvatures, cell["learning_rate"] / (2 * (1 + cell["momentum"]))
        second = (cloud["positions"] ** 2).mean(0)[:, clouds.kept]  # [P, k]
        h, noise = h[clouds.kept], cloud["noise_diagonal"].mean((0, 1))[clouds.kept]
        each = h * (1 - bend * h) * second / noise / cell["predicted"]
        means.append(each.mean(0))
        variances.append(each.var(0, ddof=1) / len(each))
        energies.append(h * second.mean(0) / 2 / cell["predicted"])
    errors = np.sqrt(np.mean(variances, 0) / len(variances))
    rows = zip(
        clouds.curvatures[clouds.kept], np.mean(means, 0), errors, np.mean(energies, 0), strict=True
    )
    names = ("curvature", "warmth", "warmth_stderr", "energy")
    return [dict(zip(names, map(float, row), strict=True)) for row in rows]


def spreading(run: RunData) -> Figure | None:
    """The cloud in the plane of its steepest and its flattest recorded direction, at a few
    moments."""
    clouds = Clouds.of(run)
    if clouds is None or len(clouds.kept) < 2:
        return None
    cell, cloud = clouds.slow[0]
    i, j = clouds.kept[0], clouds.kept[-1]
    steps = cloud["early_steps"]
    moments = np.unique(np.linspace(0, len(steps) - 1, PANELS).round().astype(int))
    x, y = cloud["early_positions"][:, :, i], cloud["early_positions"][:, :, j]  # [E, P]
    rest_x, rest_y = cloud["positions"][:, :, i].ravel(), cloud["positions"][:, :, j].ravel()
    panels = [(f"step {int(steps[m])}", x[m], y[m]) for m in moments] + [
        ("at rest", rest_x, rest_y)
    ]
    rows = [
        {"panel": name, "x": float(a), "y": float(b)}
        for name, xs, ys in panels[:-1]
        for a, b in zip(xs, ys, strict=True)
    ]

    def paint(canvas: Any) -> None:
        all_axes = canvas.subplots(1, len(panels), sharex=True, sharey=True)
        angle = np.linspace(0, 2 * np.pi, 100)
        for axes, (name, xs, ys) in zip(all_axes, panels, strict=True):
            many = xs.size > 100
            axes.plot(
                xs,
                ys,
                ".",
                color=TRAIN,
                markersize=2.5 if many else 4,
                alpha=0.3 if many else 0.8,
                markeredgewidth=0,
            )
            axes.plot(
                2 * rest_x.std() * np.cos(angle),
                2 * rest_y.std() * np.sin(angle),
                color=INK,
                linewidth=0.7,
            )
            axes.set_title(name)
            axes.tick_params(labelsize=7)
            axes.locator_params(nbins=4)
        all_axes[0].set_ylabel(f"along h = {clouds.curvatures[j]:.2g}")
        canvas.supxlabel(f"along h = {clouds.curvatures[i]:.2g}", fontsize=9.5)

    caption = (
        f"Every dot is a replica of the cell η = {cell['learning_rate']:g}, b = "
        f"{cell['batch_size']}, seen in the plane of two "
        "Hessian directions through the minimum; the ellipse is twice the standard deviation "
        "at rest. The steep direction "
        "fills at once, the flat one later; which of the two is wider at rest is decided by Cᵢᵢ/hᵢ."
    )
    return Figure(
        "spreading", "The cloud as it spreads", caption, svg_of("spreading", 2.2, paint), rows
    )
