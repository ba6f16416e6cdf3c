"""How the cloud warms, direction by direction, and how it looks while it spreads."""

from typing import Any

import numpy as np

from sgdtheory.figures.figure import Figure, RunData
from sgdtheory.figures.style import COLOURS, INK, PALE, TRAIN, log_axis, svg_of

LINES = 6  # directions drawn
PANELS = 4  # moments of the spreading cloud


def equilibration(run: RunData) -> Figure | None:
    """T_i/T_law of Hessian directions against the time since the cloud was a point at θ*."""
    found = _hottest(run)
    if found is None:
        return None
    cell, cloud, ground = found
    h, noise = ground["curvatures"], ground["noise_diagonal"]
    kept = [int(i) for i in np.unique(np.linspace(0, len(h) - 1, LINES).round()) if h[int(i)] > 0 and noise[int(i)] > 0]
    steps, second = cloud["early_steps"], (cloud["early_positions"] ** 2).mean(1)  # [E], [E, k]
    eta, mu, law = cell["learning_rate"], cell["momentum"], cell["predicted"]
    warm = h * second * (1 - eta * h / (2 * (1 + mu))) / noise / law  # [E, k]
    time = eta * steps / (1 - mu)
    final = (
        h * (cloud["positions"] ** 2).mean((0, 1)) * (1 - eta * h / (2 * (1 + mu))) / cloud["noise_diagonal"].mean((0, 1)) / law
    )
    rows = [
        {"curvature": float(h[i]), "step": int(step), "time": float(t), "warmth": float(w), "expected": _warmth(h[i], t)}
        for i in kept
        for step, t, w in zip(steps, time, warm[:, i], strict=True)
    ]  # fmt: skip

    def paint(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.axhline(1, color=PALE, linewidth=0.9)
        for k, i in enumerate(kept):
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(time, warm[:, i], "o", markersize=3.5, color=colour, label=f"h = {h[i]:.2g}")
            axes.plot(time, [_warmth(h[i], t) for t in time], color=colour, linewidth=0.9)
            axes.plot([time[-1] * 1.25], [final[i]], "_", markersize=12, color=colour)
        log_axis(axes.xaxis)
        axes.set(xlabel="time η·step/(1−μ)", ylabel="energy of the mode / its share", ylim=(0, None))
        axes.grid(axis="y")
        canvas.legend(loc="outside upper right", ncols=len(kept), columnspacing=1.2)

    caption = (
        f"The cell η = {eta:g}, b = {cell['batch_size']}. All replicas start at the minimum; h_iΣ_ii/C_ii of each Hessian "
        "direction, over the predicted temperature, rises to one as 1 − exp(−2h·time) (lines): steep directions warm first, "
        f"flat ones last. Dots scatter by √(2/replicas) = {np.sqrt(2 / cell['replicas']):.2f}; the dash at the right is the "
        "mean while sampling. A direction whose dash is not at one has another temperature than the law's."
    )
    return Figure("equilibration", "Which directions are warm", caption, svg_of("equilibration", 3.2, paint), rows)


def spreading(run: RunData) -> Figure | None:
    """The cloud in the plane of its steepest and its flattest recorded direction, at a few moments."""
    found = _hottest(run)
    if found is None or found[2]["curvatures"].size < 2:
        return None
    cell, cloud, ground = found
    j = len(ground["curvatures"]) - 1
    steps = cloud["early_steps"]
    moments = np.unique(np.linspace(0, len(steps) - 1, PANELS).round().astype(int))
    x, y = cloud["early_positions"][:, :, 0], cloud["early_positions"][:, :, j]  # [E, P]
    rest_x, rest_y = cloud["positions"][:, :, 0].ravel(), cloud["positions"][:, :, j].ravel()
    panels = [(f"step {int(steps[m])}", x[m], y[m]) for m in moments] + [("at rest", rest_x, rest_y)]
    rows = [{"panel": name, "x": float(a), "y": float(b)} for name, xs, ys in panels[:-1] for a, b in zip(xs, ys, strict=True)]

    def paint(canvas: Any) -> None:
        all_axes = canvas.subplots(1, len(panels), sharex=True, sharey=True)
        angle = np.linspace(0, 2 * np.pi, 100)
        for axes, (name, xs, ys) in zip(all_axes, panels, strict=True):
            axes.plot(xs, ys, ".", color=TRAIN, markersize=3, alpha=0.7 if xs.size < 100 else 0.25)
            axes.plot(2 * rest_x.std() * np.cos(angle), 2 * rest_y.std() * np.sin(angle), color=INK, linewidth=0.7)
            axes.set_title(name)
            axes.tick_params(labelsize=7)
        all_axes[0].set_ylabel(f"along h = {ground['curvatures'][j]:.2g}")
        canvas.supxlabel(f"along h = {ground['curvatures'][0]:.2g}", fontsize=9.5)

    caption = (
        f"Every dot is a replica of the cell η = {cell['learning_rate']:g}, b = {cell['batch_size']}, seen in the plane of two "
        "Hessian directions through the minimum; the ellipse is twice the standard deviation at rest. The steep direction "
        "fills at once, the flat one later; which of the two is wider at rest is decided by C_ii/h_i."
    )
    return Figure("spreading", "The cloud as it spreads", caption, svg_of("spreading", 2.2, paint), rows)


def _warmth(curvature: float, time: float) -> float:
    """1 − e^(−2ht), the share of its energy that a mode has after a time."""
    return float(1 - np.exp(-2 * curvature * time))


def _hottest(run: RunData) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | None:
    """(cell, its trajectory, the ground) of the largest learning rate that is harmonic, at the first minimum if it is one."""
    found = run.results.get("cells", [])
    cells = [cell for cell in found if cell["harmonic"] and not cell.get("minimum") and "quench_time" not in cell]
    ground = run.tensors("ground.safetensors")
    for cell in sorted(cells, key=lambda cell: (cell["learning_rate"], cell["batch_size"]), reverse=True):
        cloud = run.tensors(f"trajectories/{cell['learning_rate']:g}-{cell['batch_size']}.safetensors")
        if ground and cloud and cloud["early_steps"].size > 2:
            return cell, cloud, ground
    return None
